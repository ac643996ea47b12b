"""The result of binding: a network whose parameters all have values, with its settings."""

from __future__ import annotations

from copy import copy
from typing import Any

from resnext_dsl.foundation.diagnostics import Span, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.arguments import LARGEST
from resnext_dsl.operators.base import Shape, is_int
from resnext_dsl.operators.ranks import FEATURES, LAYOUTS, RANKS, rank_of
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.semantics.init_targets import InitRule
from resnext_dsl.semantics.values import Environment, Placed, show
from resnext_dsl.syntax import nodes as s


class Parameter(NamedTuple):
    """A parameter of a network with its value.

    Attributes:
        domain: The values that a search can choose from.
        doc: The documentation comment.
        active: The truth of its `when`; a search chooses values of active parameters only.
        condition: Its `when`.
    """

    name: str
    value: Any
    domain: Domain | None
    doc: str
    span: Span
    active: Any = True
    condition: s.Expression | None = None


class BoundNetwork:
    """A network with every parameter bound.

    Attributes:
        entries: Parts, outputs and statements, in the order of the text.
        defaults: Operator -> argument -> new default, with its place.
        budgets: The budgets of the network itself, without those of its bases.
        budget_names: The names that its budgets see.
        declared: All entries of the network; if it is derived, those of its base with the ones that it replaces.
        environments: The names that an entry of a derived network sees, by the identity of the entry.
    """

    def __init__(self, name: str, span: Span, environment: Environment, doc: str = "") -> None:
        self.name = name
        self.span = span
        self.environment = environment
        self.doc = doc
        self.entries: tuple[s.Entry, ...] = ()
        self.input_name: s.Name | None = None
        self.input_shape: Shape | None = None
        self.parameters: dict[str, Parameter] = {}
        self.defaults: dict[str, dict[str, Placed]] = {}
        self.init: tuple[InitRule, ...] = ()
        self.budgets: tuple[s.Budget, ...] = ()
        self.budget_names = environment
        self.declared: tuple[s.Entry, ...] = ()
        self.environments: dict[int, Environment] = {}

    def names_of(self, entry: s.Entry, env: Environment) -> Environment:
        """The names that an entry sees: those of the network, or also those of the derived network that states it."""
        return self.environments.get(id(entry), env)

    def with_input(self, shape: Shape) -> BoundNetwork:
        """The same network with an input of another shape."""
        other = copy(self)
        other.input_shape = shape
        return other


def input_shape(value: Any, span: Span) -> Shape:
    """The shape of an input from a value: one int counts features.

    Raises:
        ArchError: If the value is not such a shape.
    """
    shape = (value,) if is_int(value) else value
    if type(shape) is not tuple:
        raise error("E204", f"an input needs a shape like 3x224x224; found {show(shape)}", span)
    if rank_of(shape) not in (FEATURES, *RANKS):
        maps = ", ".join(LAYOUTS[rank] for rank in RANKS)
        message = f"an input is {maps}, or a number of features; found {show(shape)}"
        raise error("E205", message, span)
    if min(shape) < 1:
        raise error("E205", f"every size must be at least 1; found {show(shape)}", span)
    if max(shape) > LARGEST:
        raise error("E205", f"every size must be at most {LARGEST}; found {show(shape)}", span)
    return shape
