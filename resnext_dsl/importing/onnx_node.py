"""One operator of an ONNX file while it is translated: an attribute or input that is not taken refuses it."""

from __future__ import annotations

from typing import Any

from resnext_dsl.importing.model_file import MAX_NUMBER, MAX_TEXT, clean
from resnext_dsl.importing.onnx_builder import CallBuilder, Value, shortest
from resnext_dsl.importing.onnx_values import Known, RefusedError
from resnext_dsl.importing.trace import Ref, Stored

MAX_LIST = 4096
"""The most numbers of an attribute."""

_FLOAT, _INT, _STRING, _FLOATS, _INTS = 1, 2, 3, 6, 7
"""Types of attributes. Source: `AttributeProto.AttributeType` of `onnx.proto`."""


class OnnxNode:
    """The inputs and attributes of one operator.

    Attributes:
        operator: Its name in ONNX.
        opset: The version of the operators.
        build: Collects the calls.
        outputs: The names of its results; "" for a result that nothing reads.
    """

    def __init__(
        self, proto: Any, inputs: list[Value | None], opset: int, build: CallBuilder, outputs: list[str]
    ) -> None:
        self.operator = str(proto.op_type)
        self.opset = opset
        self.build = build
        self.outputs = outputs
        self._inputs = inputs
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        self._taken: set[int] = set()

    def check_all_taken(self) -> None:
        """Refuses an operator with an attribute or an input that its translation does not know.

        Raises:
            RefusedError: With the name of the attribute.
        """
        for name in self._attributes:
            raise RefusedError(f"has the attribute `{clean(name)}`, which is not translated")
        for index, value in enumerate(self._inputs):
            if value is not None and index not in self._taken:
                raise RefusedError(f"has an input number {index + 1}, which is not translated")

    def single_output(self) -> None:
        """Refuses further results.

        Raises:
            RefusedError: If the file reads one of them.
        """
        if any(self.outputs[1:]):
            raise RefusedError("has a second result, which is not translated")

    def take_inputs(self) -> None:
        """Takes all inputs, for a translation that has read them itself."""
        self._taken.update(range(self.count))

    @property
    def count(self) -> int:
        """The number of inputs."""
        return len(self._inputs)

    def optional(self, index: int) -> Value | None:
        """An input, or None if it is left out."""
        self._taken.add(index)
        return self._inputs[index] if index < len(self._inputs) else None

    def value(self, index: int = 0) -> Value:
        """An input that must be there."""
        value = self.optional(index)
        if value is None:
            raise RefusedError(f"has no input number {index + 1}")
        return value

    def tensor(self, index: int = 0) -> Ref | Stored:
        """An input that is a tensor of the network, or one that the file stores."""
        value = self.value(index)
        if isinstance(value, Known):
            return self.as_tensor(value)
        return value

    def as_tensor(self, value: Known) -> Stored:
        """Known numbers as a constant."""
        import torch

        numbers = value.flat()
        if not all(isinstance(number, int | float) for number in numbers):
            raise RefusedError("computes with the size of the batch")
        return self.build.constant(torch.tensor(numbers).reshape(value.shape))

    def stored(self, index: int, *, optional: bool = False) -> Stored | None:
        """An input that the file stores."""
        value = self.optional(index) if optional else self.value(index)
        if value is not None and not isinstance(value, Stored):
            raise RefusedError(f"computes its input number {index + 1}, which is read only as a stored tensor")
        return value

    def integers(self, index: int) -> list[int] | None:
        """An input that is known: axes, sizes, pads. None if it is left out."""
        value = self.optional(index)
        if value is None:
            return None
        if not isinstance(value, Known):
            raise RefusedError(f"computes its input number {index + 1} from the data")
        return value.integers()

    def floats(self, index: int) -> list[Any] | None:
        """An input of known numbers: scales, bounds. None if it is left out or empty."""
        value = self.optional(index)
        if value is None:
            return None
        numbers = self.build.numbers(value)
        if numbers is None or not all(isinstance(number, int | float) for number in numbers):
            raise RefusedError(f"computes its input number {index + 1} from the data")
        return numbers or None

    def integer(self, name: str, default: int | None = None) -> int:
        """An attribute that is an integer."""
        attribute = self._take(name, _INT)
        value = default if attribute is None else int(attribute.i)
        if value is None:
            raise RefusedError(f"has no attribute `{name}`")
        if abs(value) > MAX_NUMBER:
            raise RefusedError(f"has the attribute `{name}` (={value}), which is too large")
        return value

    def integer_list(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers; None if it is left out."""
        attribute = self._take(name, _INTS)
        if attribute is None:
            return None
        if len(attribute.ints) > MAX_LIST or any(abs(number) > 1 << 63 for number in attribute.ints):
            raise RefusedError(f"has the attribute `{name}`, which is too long")
        return [int(number) for number in attribute.ints]

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        attribute = self._take(name, _FLOAT)
        return default if attribute is None else shortest(float(attribute.f))

    def number_list(self, name: str) -> list[float] | None:
        """An attribute that is a list of numbers; None if it is left out."""
        attribute = self._take(name, _FLOATS)
        if attribute is None:
            return None
        if len(attribute.floats) > MAX_LIST:
            raise RefusedError(f"has the attribute `{name}`, which is too long")
        return [shortest(float(number)) for number in attribute.floats]

    def text(self, name: str, default: str) -> str:
        """An attribute that is a word."""
        attribute = self._take(name, _STRING)
        return default if attribute is None else bytes(attribute.s).decode("utf-8", "replace")[:MAX_TEXT]

    def tensor_attribute(self, name: str) -> Any:
        """An attribute that is a tensor, as its message; None if it is left out."""
        return getattr(self._take(name, 4), "t", None)

    def graph_attribute(self, name: str) -> Any:
        """An attribute that is a graph, as its message; None if it is left out."""
        return getattr(self._take(name, 5), "g", None)

    def has(self, name: str) -> bool:
        """Whether an attribute is there and not taken yet."""
        return name in self._attributes

    def require(self, name: str, value: Any, expected: Any) -> None:
        """Refuses an attribute of another value than the one that is translated.

        Raises:
            RefusedError: With the name and both values.
        """
        if value != expected:
            shown, wanted = (f"`{clean(item)}`" if isinstance(item, str) else item for item in (value, expected))
            raise RefusedError(f"has the attribute `{name}` (={shown}), and only {wanted} is translated")

    def axis(self, name: str, default: int, rank: int) -> int:
        """An attribute that is an axis, counted from the front."""
        return counted(self.integer(name, default), rank)

    def _take(self, name: str, kind: int) -> Any:
        attribute = self._attributes.pop(name, None)
        if attribute is not None and (attribute.type != kind or attribute.ref_attr_name):
            raise RefusedError(f"has the attribute `{name}` of another type than the standard states")
        return attribute


def counted(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        RefusedError: If there is no such axis.
    """
    if not -rank <= axis < rank:
        raise RefusedError(f"names the axis {axis} of a tensor of {rank} dimensions")
    return axis % rank
