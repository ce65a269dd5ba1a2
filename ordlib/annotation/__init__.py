"""Ordinal annotation (Section 4.1): questions about pairs of joints until all are ordered."""

from ordlib.annotation.annotators import PERFECT, PERSON, SimulatedAnnotator
from ordlib.annotation.consensus import consensus_ranks
from ordlib.annotation.knowledge import Ask, Knowledge, Ordering, relations_from_ranks
from ordlib.annotation.prior import DepthPrior
from ordlib.annotation.procedure import (
    GROUP_SIZE,
    Annotations,
    Clock,
    annotate,
    make_strategy,
    order_joints,
)
from ordlib.annotation.strategies import STRATEGIES, Strategy

__all__ = [
    "GROUP_SIZE",
    "PERFECT",
    "PERSON",
    "STRATEGIES",
    "Annotations",
    "Ask",
    "Clock",
    "DepthPrior",
    "Knowledge",
    "Ordering",
    "SimulatedAnnotator",
    "Strategy",
    "annotate",
    "consensus_ranks",
    "make_strategy",
    "order_joints",
    "relations_from_ranks",
]
