"""Lowers the calls of a forward pass to a graph of the language's operators, without torch."""

from resnext_dsl.importing.lowering.lower_trace import Lowered, lower

__all__ = ["Lowered", "lower"]
