"""The annotation tool: people label ordinal depth in their own photographs (Section 4.1)."""

from ordlib.labelling.widget import AnnotationWidget

__all__ = ["AnnotationWidget"]
