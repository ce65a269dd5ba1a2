"""Ordinal annotation (Section 4.1): questions about pairs of joints until all are ordered."""

from ordlib.annotation.annotators import PERFECT, PERSON, SimulatedAnnotator
from ordlib.annotation.bounds import (
    certain_after,
    entropy_bits,
    questions_for_bits,
    weak_orderings,
)
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
    "certain_after",
    "consensus_ranks",
    "entropy_bits",
    "make_strategy",
    "order_joints",
    "questions_for_bits",
    "relations_from_ranks",
    "weak_orderings",
]
