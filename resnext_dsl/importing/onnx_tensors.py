"""The tensors of an ONNX file: in the file itself, or in files of the same folder. Every stated size is checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.model_file import MAX_FILE_BYTES, clean, unreadable, unsafe
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    import torch

MAX_RANK = 16
"""The most dimensions of a tensor."""


class NumberType(NamedTuple):
    """A type of numbers.

    Attributes:
        name: Its name in torch.
        width: Its bytes.
        field: The field of a tensor that holds its numbers if they are not raw bytes.
    """

    name: str
    width: int
    field: str


NUMBER_TYPES: Mapping[int, NumberType] = {
    1: NumberType("float32", 4, "float_data"),
    2: NumberType("uint8", 1, "int32_data"),
    3: NumberType("int8", 1, "int32_data"),
    5: NumberType("int16", 2, "int32_data"),
    6: NumberType("int32", 4, "int32_data"),
    7: NumberType("int64", 8, "int64_data"),
    9: NumberType("bool", 1, "int32_data"),
    10: NumberType("float16", 2, "int32_data"),
    11: NumberType("float64", 8, "double_data"),
    16: NumberType("bfloat16", 2, "int32_data"),
}
"""Number of a type -> the type. Source: `TensorProto.DataType` of `onnx.proto`."""

AS_BITS = {"float16", "bfloat16"}
"""Types whose field of numbers holds their bits."""


class FileTensor(NamedTuple):
    """A checked tensor of an ONNX file.

    Attributes:
        proto: Its message.
        shape: Its shape.
        type: The type of its numbers.
        external: The file with its numbers, and its first byte there; None if the message holds them.
    """

    proto: Any
    shape: Shape
    type: NumberType
    external: tuple[Path, int] | None

    def read(self) -> torch.Tensor:
        """The tensor, in memory of its own."""
        import torch

        dtype = getattr(torch, self.type.name)
        if not math.prod(self.shape):
            return torch.empty(self.shape, dtype=dtype)
        if self.external is None and not self.proto.HasField("raw_data"):
            numbers = list(getattr(self.proto, self.type.field))
            if self.type.name in AS_BITS:
                signed = [number - (number >> 15 << 16) for number in numbers]
                return torch.tensor(signed, dtype=torch.int16).view(dtype).reshape(self.shape)
            return torch.tensor(numbers, dtype=dtype).reshape(self.shape)
        return torch.frombuffer(bytearray(self._raw()), dtype=dtype).reshape(self.shape)

    def _raw(self) -> bytes:
        if self.external is None:
            return bytes(self.proto.raw_data)
        file, offset = self.external
        size = math.prod(self.shape) * self.type.width
        try:
            with file.open("rb") as opened:
                opened.seek(offset)
                content = opened.read(size)
        except OSError as reason:
            raise unreadable(file, (reason.strerror or str(reason)).lower()) from None
        if len(content) != size:
            raise unreadable(file, "it has changed while the model was read")
        return content


def checked_tensor(path: Path, proto: Any) -> FileTensor:
    """A tensor whose shape, type and numbers agree.

    Args:
        path: The ONNX file.
        proto: A message of the type `TensorProto`.

    Raises:
        ArchError: E621 if they do not agree, E623 if the numbers lie outside the folder of the file.
    """
    title = f"the tensor `{clean(proto.name)}`"
    shape = tuple(proto.dims)
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise unreadable(path, f"{title} has the shape {list(shape[:MAX_RANK])}")
    kind = NUMBER_TYPES.get(proto.data_type)
    if kind is None:
        raise unreadable(path, f"{title} has numbers of type {proto.data_type}, which is not read")
    if proto.HasField("segment"):
        raise unreadable(path, f"{title} is a segment of a tensor")
    size = math.prod(shape) * kind.width
    if size > MAX_FILE_BYTES:
        raise unreadable(path, f"{title} of shape {list(shape)} would have {size} bytes")
    if proto.data_location == 1:
        return FileTensor(proto, shape, kind, _external(path, title, proto, size))
    raw = proto.HasField("raw_data")
    held = len(proto.raw_data) if raw else len(getattr(proto, kind.field)) * kind.width
    if held != size:
        raise unreadable(path, f"{title} of shape {list(shape)} has {held} bytes instead of {size}")
    if not raw and kind.field == "int32_data" and not _in_range(proto.int32_data, kind):
        raise unreadable(path, f"{title} has numbers that are out of range")
    return FileTensor(proto, shape, kind, None)


def _in_range(numbers: Any, kind: NumberType) -> bool:
    """Whether the numbers of a field of 32 bits fit a narrower type."""
    if kind.width == 4:
        return True
    limit = 1 << 8 * kind.width
    low, high = (0, limit) if kind.name[0] in "ub" or kind.name in AS_BITS else (-limit // 2, limit // 2)
    return all(low <= number < high for number in numbers)


def _external(path: Path, title: str, proto: Any, size: int) -> tuple[Path, int]:
    """The file that holds the numbers of a tensor, and the first byte there."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    file = path.parent / location
    outside = f"{title} lies in `{clean(location)}`, outside the folder of the file"
    try:
        relative = PurePosixPath(location.replace("\\", "/"))
        if not location or relative.is_absolute() or ".." in relative.parts or ":" in location or "\0" in location:
            raise unsafe(path, outside)
        folder = os.path.realpath(path.parent)
        if os.path.commonpath([folder, os.path.realpath(file)]) != folder:
            raise unsafe(path, outside)
        if not file.is_file():
            raise unreadable(path, f"{title} lies in `{clean(location)}`, and there is no such file")
        offset, length = (
            _count(entries.get(key, default)) for key, default in (("offset", "0"), ("length", str(size)))
        )
        if length != size or offset + size > file.stat().st_size:
            raise unreadable(path, f"{title} of {size} bytes does not fit `{clean(location)}`")
    except (OSError, ValueError):
        raise unreadable(path, f"{title} has no place in a file that can be read") from None
    return file, offset


def _count(text: str) -> int:
    """A number of bytes."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError("a number of bytes")
    return int(text)
