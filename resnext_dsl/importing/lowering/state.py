"""The state of a lowering: the nodes so far, the current call, and the problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.lowering.axis_views import SAMPLES, View, whole
from resnext_dsl.importing.lowering.stored_values import TensorSource
from resnext_dsl.importing.trace import BATCH, Call, Ref, Stored, Trace
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.arguments import validate
from resnext_dsl.operators.base import Attributes, RuleError, Shape
from resnext_dsl.operators.readings import UNREADABLE


class Draft(NamedTuple):
    """A node before it has a name.

    Attributes:
        operator: Name of its row; "input" for the input.
        attributes: Its attributes; None for the input.
        inputs: Positions of the nodes that it reads.
        shape: Shape of its value.
        path: Path of the module that it belongs to.
        call: Position of the call that it comes from.
        tensors: Field -> the source of the tensor.
        features: Path of the module that made features of the value, where the node has a map of Cx1x1; None if the
            source has a map too.
    """

    operator: str
    attributes: Attributes | None
    inputs: tuple[int, ...]
    shape: Shape
    path: str
    call: int
    tensors: Mapping[str, TensorSource] = {}
    features: str | None = None


class Problem(NamedTuple):
    """A call that cannot be lowered: its position, the reason, a hint, and the code of the rule that it breaks."""

    call: int
    message: str
    hint: str = ""
    code: str = UNREADABLE


class Lowering:
    """A lowering under way.

    Attributes:
        trace: The trace.
        nodes: The nodes so far.
        values: The values of the calls so far.
        problems: The calls that cannot be lowered.
        notes: Sentences about what the trace does not tell.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.nodes = [Draft("input", None, (), trace.input, "", -1)]
        self.values: list[Any] = []
        self.problems: list[Problem] = []
        self.notes: dict[str, None] = dict.fromkeys(trace.notes)
        self._known: dict[tuple[Any, ...], int] = {}

    @property
    def position(self) -> int:
        """The position of the current call."""
        return len(self.values)

    @property
    def call(self) -> Call:
        """The current call."""
        return self.trace.calls[self.position]

    def shape(self, node: int) -> Shape:
        """The shape of a node."""
        return self.nodes[node].shape

    def add(
        self,
        operator: str,
        arguments: Mapping[str, Any],
        inputs: Sequence[int],
        path: str,
        tensors: Mapping[str, TensorSource] | None = None,
        features: str | None = None,
    ) -> int:
        """Adds a node, or finds an equal one without parameters that cuts or moves the same value.

        Raises:
            RuleError: If the arguments or the shapes of the inputs break a rule of the operator.
        """
        row = OPERATORS[operator]
        shapes = tuple([self.nodes[node].shape for node in inputs])
        attributes = validate(row, arguments, shapes[0])
        key = operator, attributes, tuple(inputs), features
        if row.kind == "shape" and key in self._known:
            return self._known[key]
        shape = row.shape(attributes, shapes)
        self.nodes.append(Draft(operator, attributes, key[2], shape, path, self.position, tensors or {}, features))
        self._known[key] = len(self.nodes) - 1
        return len(self.nodes) - 1

    def forget(self, start: int) -> None:
        """Removes the nodes from a position on, which a failed reading has added."""
        if len(self.nodes) > start:
            del self.nodes[start:]
            self._known = {key: node for key, node in self._known.items() if node < start}

    def whole(self, node: int, path: str = "") -> View:
        """The value of a node with its own axes."""
        return whole(node, self.shape(node), path)

    def resolved(self, argument: Any) -> Any:
        """An argument with values for references, and numbers for sizes."""
        if isinstance(argument, Ref):
            return self.whole(0) if argument.call < 0 else self.values[argument.call]
        if isinstance(argument, Stored):
            return argument
        if isinstance(argument, list | tuple):
            return type(argument)([self.resolved(part) for part in argument])
        return SAMPLES if argument is BATCH or argument == BATCH else argument


def unreadable(message: str, hint: str = "") -> RuleError:
    """The error for something that the language cannot express."""
    return RuleError(UNREADABLE, message, hint)
