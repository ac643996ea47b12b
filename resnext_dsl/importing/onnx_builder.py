"""Collects the calls of an ONNX file: their arguments, the shapes of their results, and the tensors that are constant.

The shapes come from torch's own operators on the meta device, which has shapes and no memory. Each call runs for two
sizes of the batch: a size that differs is a multiple of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.model_file import MAX_NUMBER, clean
from resnext_dsl.importing.onnx_values import Known, RefusedError, Samples, known
from resnext_dsl.importing.trace import BATCH, INPUT, Call, Ref, Sizes, Stored, TracedTensor

if TYPE_CHECKING:
    from resnext_dsl.importing.onnx_file import OnnxInput

BATCHES = (2, 3)
"""The sizes of the batch that the shapes are computed for."""

MAX_NUMBERS = 1 << 40
"""The most numbers of one result."""

MAX_COMPUTED = 1 << 22
TIMES_COMPUTED = 16
"""The constants that are computed have at most `MAX_COMPUTED` numbers, and this many times those of the file."""

Value = Ref | Stored | Known


class StoredTensor(NamedTuple):
    """A tensor of the file, or one that is computed from such tensors when it is asked for.

    Attributes:
        meta: Its shape and type, without numbers.
        load: Reads or computes it.
        named: Whether the file names it as a parameter; constants of formulas are not.
        learned: Whether it comes from the tensors of the file, and not from the constants of its operators.
    """

    meta: torch.Tensor
    load: Callable[[], torch.Tensor]
    named: bool
    learned: bool


class CallBuilder:
    """Collects the calls and tensors of a trace.

    Attributes:
        calls: The calls so far.
        tensors: Key -> stored tensor.
        notes: The facts that the file fixes to its example.
        path: The module of the operator that is translated.
        place: The line of its source.
        fixed: The size of the batch that the file fixes, or None.
        held: The numbers that the file stores.
    """

    def __init__(self, image: OnnxInput) -> None:
        self.calls: list[Call] = []
        self.tensors: dict[str, StoredTensor] = {}
        self.notes: list[str] = []
        self.path = ""
        self.place = ""
        self.fixed = image.batch
        self.held = 0
        dtype = getattr(torch, image.dtype)
        self._results: list[tuple[Any, ...]] = []
        self._computed = 0
        self._shapes: dict[Any, tuple[Any, ...]] = {}
        self._image = tuple(torch.empty((batch, *image.shape), dtype=dtype, device="meta") for batch in BATCHES)

    def emit(self, operation: str, /, **arguments: Any) -> Any:
        """Adds a call of an ATen operator and returns its result; a call on constants becomes a constant.

        Raises:
            RefusedError: The operator does not fit its inputs.
        """
        key = (operation, self._described(arguments))
        results = self._shapes.get(key)
        if results is None:
            results = tuple(self._shaped(operation, arguments, side) for side in range(len(BATCHES)))
            self._shapes[key] = results
        if not any(isinstance(argument, Ref) for argument in _leaves(arguments)):
            return self._constant(operation, arguments, results[0])
        self.calls.append(Call(operation, arguments, self._sizes(results), self.path, self.place))
        self._results.append(results)
        return Ref(len(self.calls) - 1)

    def parts(self, several: Any, count: int) -> list[Any]:
        """The results of a call with several results."""
        return [self.emit("getitem", self=several, index=index) for index in range(count)]

    def store(self, key: str, tensor: StoredTensor) -> Stored:
        """Adds a tensor under a key of its own."""
        unique, number = key, 1
        while unique in self.tensors:
            number += 1
            unique = f"{key}_{number}"
        self.tensors[unique] = tensor
        return Stored(unique)

    def constant(self, numbers: torch.Tensor) -> Stored:
        """Adds a small constant."""
        return self.store("constant", StoredTensor(numbers.to("meta"), lambda: numbers, named=False, learned=False))

    def dims(self, value: Value) -> list[int | Samples | None]:
        """The shape of a value; None for a size that is no multiple of the batch."""
        if isinstance(value, Known):
            return list(value.shape)
        first, second = (self._meta(value, side) for side in range(len(BATCHES)))
        return [_dim(*sizes) for sizes in zip(first.shape, second.shape, strict=True)]

    def sizes(self, value: Value) -> list[int]:
        """The shape of a value without its first dimension.

        Raises:
            RefusedError: If a size depends on the batch.
        """
        sizes = [size for size in self.dims(value)[1:] if isinstance(size, int)]
        if len(sizes) != self.rank(value) - 1:
            raise RefusedError("has an input whose size depends on the batch")
        return sizes

    def rank(self, value: Value) -> int:
        """The number of dimensions of a value."""
        return len(self.dims(value))

    def is_float(self, value: Value) -> bool:
        """Whether the numbers of a value are floating-point numbers."""
        return not isinstance(value, Known) and bool(self._meta(value, 0).is_floating_point())

    def dtype(self, value: Value) -> str:
        """The type of a value by its name in torch."""
        return str(self._meta(value, 0).dtype).removeprefix("torch.")

    def numbers(self, value: Value | None, most: int = 64) -> list[Any] | None:
        """The numbers of a known value or of a small constant; None if they are not known."""
        if isinstance(value, Known):
            return value.flat()
        if not isinstance(value, Stored) or self.tensors[value.key].meta.numel() > most:
            return None
        return [_short(number) for number in self.tensors[value.key].load().flatten().tolist()]

    def samples(self) -> Ref:
        """The number of samples, as the result of a call."""
        ref = self.emit("size", self=INPUT, dim=0)
        assert isinstance(ref, Ref)
        return ref

    def reshaped(self, value: Value, shape: list[Any]) -> Any:
        """A value in another shape: numbers, multiples of the batch, and -1 for a size that follows from the others."""
        target = self._completed(value, shape)
        while isinstance(value, Ref) and value.call >= 0 and self.calls[value.call].operation == "reshape":
            value = self.calls[value.call].arguments["self"]  # a reshape of a reshape is a reshape
        if target == self.dims(value):
            return value
        free = [axis for axis, size in enumerate(target) if isinstance(size, Samples)]
        if len(free) > 1:
            raise RefusedError(f"gives the shape {target}, which has the batch twice")
        before = self.dims(value)
        if isinstance(value, Ref) and len(target) == 2 < len(before) and target[0] == before[0]:
            return self.emit("flatten", self=value, start_dim=1, end_dim=-1)
        return self.emit(
            "reshape", self=value, shape=[-1 if axis in free else size for axis, size in enumerate(target)]
        )

    def _completed(self, value: Value, shape: list[Any]) -> list[Any]:
        """The whole shape: 1 size follows from the number of numbers, and the batch of an example becomes any batch."""
        counts = [math.prod(self._meta(value, side).shape) for side in range(len(BATCHES))]
        if any(size is None or (isinstance(size, int) and not -1 <= size < MAX_NUMBER) for size in shape):
            raise RefusedError(f"gives the shape {shape[:16]}")
        if shape.count(-1) == 1:
            rest = [math.prod(_for_batch(size, batch) for size in shape if size != -1) for batch in BATCHES]
            if not all(size and count % size == 0 for count, size in zip(counts, rest, strict=True)):
                return self._for_any_batch(shape, counts)
            followed = _dim(*(count // size for count, size in zip(counts, rest, strict=True)))
            if followed is not None:
                shape = [followed if size == -1 else size for size in shape]
        return self._for_any_batch(shape, counts)

    def _for_any_batch(self, shape: list[Any], counts: list[int]) -> list[Any]:
        """`[2, 8, 49] -> [batch, 8, 49]`, where the file fixes the batch to 2 and the numbers are those of a batch."""
        if _fits(shape, counts):
            return shape
        fixed = self.fixed
        if fixed and shape and isinstance(shape[0], int) and shape[0] > 0 and shape[0] % fixed == 0:
            rest = [math.prod(size for size in shape[1:] if isinstance(size, int) and size >= 0)] * len(BATCHES)
            sides = [Samples(shape[0] // fixed), *shape[1:]]
            if -1 in sides:
                lead = [_for_batch(sides[0], batch) * size for batch, size in zip(BATCHES, rest, strict=True)]
                if all(size and count % size == 0 for count, size in zip(counts, lead, strict=True)):
                    sides = [counts[0] // lead[0] if size == -1 else size for size in sides]
            if _fits(sides, counts):
                self._note(f"The file fixes the batch to {fixed}; the reshapes to this size are read for any batch.")
                return sides
        raise RefusedError(f"reshapes to {shape}, which holds for one size of the batch only")

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _described(self, argument: Any) -> Any:
        """The part of an argument that decides the shape of a result: blocks of a network repeat the same calls."""
        if isinstance(argument, dict):
            return tuple((name, self._described(item)) for name, item in argument.items())
        if isinstance(argument, list):
            return tuple(self._described(item) for item in argument)
        metas = (
            [self._meta(argument, side) for side in range(len(BATCHES))] if isinstance(argument, Ref | Stored) else []
        )
        if metas and all(isinstance(meta, torch.Tensor) for meta in metas):
            return tuple((*meta.shape, meta.dtype) for meta in metas)
        return argument

    def _shaped(self, operation: str, arguments: dict[str, Any], side: int) -> Any:
        """The result of an operator on the meta device for one of the batches."""
        values = {name: self._for_side(argument, side) for name, argument in arguments.items()}
        try:
            result = computed(operation, values)
        except Exception as reason:  # torch raises many types for arguments that do not fit
            raise RefusedError(f"does not fit its inputs: {clean(str(reason).partition(chr(10))[0])}") from None
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.numel() > MAX_NUMBERS:
                raise RefusedError(f"gives {tensor.numel()} numbers")
        return result

    def _for_side(self, argument: Any, side: int) -> Any:
        if isinstance(argument, list):
            return [self._for_side(item, side) for item in argument]
        return self._meta(argument, side) if isinstance(argument, Ref | Stored) else argument

    def _meta(self, value: Value, side: int) -> Any:
        if isinstance(value, Known):
            return torch.empty(value.shape, dtype=torch.int64, device="meta")
        if isinstance(value, Stored):
            return self.tensors[value.key].meta
        return self._image[side] if value == INPUT else self._results[value.call][side]

    def _constant(self, operation: str, arguments: dict[str, Any], result: Any) -> Any:
        """A constant that is computed when it is asked for."""
        if not isinstance(result, torch.Tensor):
            raise RefusedError("has several constant results")
        self._computed += result.numel()
        if self._computed > MAX_COMPUTED + TIMES_COMPUTED * self.held:
            raise RefusedError(f"gives a constant of {result.numel()} numbers, many more than the file stores")
        stored = {leaf.key: self.tensors[leaf.key] for leaf in _leaves(arguments) if isinstance(leaf, Stored)}
        inputs = {key: tensor.load for key, tensor in stored.items()}
        learned = any(tensor.learned for tensor in stored.values())

        def load() -> torch.Tensor:
            def filled(argument: Any) -> Any:
                if isinstance(argument, list):
                    return [filled(item) for item in argument]
                return inputs[argument.key]() if isinstance(argument, Stored) else argument

            with torch.no_grad():
                tensor = computed(operation, {name: filled(argument) for name, argument in arguments.items()})
            assert isinstance(tensor, torch.Tensor)
            return tensor.contiguous()

        name = next(iter(inputs), operation)
        return self.store(f"{name}_{operation}", StoredTensor(result, load, named=False, learned=learned))

    def _sizes(self, results: tuple[Any, ...]) -> Sizes | None:
        if not isinstance(results[0], torch.Tensor):
            return None
        sizes: list[int | str] = []
        for pair in zip(*[result.shape for result in results], strict=True):
            size = _dim(*pair)
            if size is None or (isinstance(size, Samples) and size.factor != 1):
                return None
            sizes.append(size if isinstance(size, int) else BATCH)
        return tuple(sizes)

    def described(self, key: str, kind: str) -> TracedTensor:
        """A stored tensor as a trace describes it."""
        meta = self.tensors[key].meta
        return TracedTensor(tuple(meta.shape), kind, meta.is_floating_point())

    def known_dims(self, value: Value) -> Known:
        """The shape of a value as known numbers."""
        dims = self.dims(value)
        if None in dims:
            raise RefusedError("has an input whose size depends on the batch")
        return known(dims)


def computed(operation: str, arguments: dict[str, Any]) -> Any:
    """The result of an operation of a trace on tensors of torch."""
    if operation == "getitem":
        return arguments["self"][arguments["index"]]
    if operation == "size":
        return arguments["self"].shape[arguments["dim"]]
    if isinstance(arguments.get("dtype"), str):
        arguments = {**arguments, "dtype": getattr(torch, arguments["dtype"])}
    if operation == "local_response_norm":
        return torch.nn.functional.local_response_norm(**arguments)
    return getattr(torch.ops.aten, operation)(**arguments)


def _leaves(argument: Any) -> list[Any]:
    """The single arguments in lists and mappings of arguments."""
    if isinstance(argument, dict):
        return [leaf for item in argument.values() for leaf in _leaves(item)]
    return [leaf for item in argument for leaf in _leaves(item)] if isinstance(argument, list) else [argument]


def _dim(first: int, second: int) -> int | Samples | None:
    """A size from its values for the two batches."""
    if first == second:
        return int(first)
    factor, rest = divmod(int(first), BATCHES[0])
    return Samples(factor) if not rest and int(second) == factor * BATCHES[1] else None


def _for_batch(size: Any, batch: int) -> int:
    return size.factor * batch if isinstance(size, Samples) else int(size)


def _fits(shape: list[Any], counts: list[int]) -> bool:
    """Whether a complete shape has the number of numbers for each batch."""
    if any(size == -1 for size in shape):
        return False
    return [math.prod(_for_batch(size, batch) for size in shape) for batch in BATCHES] == counts


def _short(number: Any) -> Any:
    """The shortest decimal number of the same float32: 1e-06 for 9.99999997e-07."""
    return shortest(number) if isinstance(number, float) else number


def shortest(number: float) -> float:
    """The shortest decimal number that rounds to the same float32; other numbers stay as they are."""
    import numpy as np

    single = np.float32(number)
    return float(str(single)) if float(single) == number else number
