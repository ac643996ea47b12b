"""The weights and constants of an archive of torch.export: plain numbers, checked against the size of their entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.archive_file import ArchiveFile
from resnext_dsl.importing.model_file import MAX_FILE_BYTES, MAX_NUMBER, unreadable, unsafe
from resnext_dsl.importing.trace import TracedTensor
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    import torch

NUMBER_TYPES: Mapping[int, tuple[str, int]] = {
    1: ("uint8", 1),
    2: ("int8", 1),
    3: ("int16", 2),
    4: ("int32", 4),
    5: ("int64", 8),
    6: ("float16", 2),
    7: ("float32", 4),
    8: ("float64", 8),
    12: ("bool", 1),
    13: ("bfloat16", 2),
}
"""Number of a type in an archive -> its name in torch and its bytes. Source: `ScalarType` in torch's export schema."""

STRIDED = 7
"""The number of the layout of dense tensors."""


class ArchiveTensor(NamedTuple):
    """The place of one tensor in an archive.

    Attributes:
        entry: The entry that holds its numbers.
        dtype: The name of its type in torch.
        shape: Its shape.
        strides: Its strides, in numbers.
        offset: Its first number in the entry.
    """

    entry: str
    dtype: str
    shape: Shape
    strides: Shape
    offset: int

    def described(self, kind: str) -> TracedTensor:
        """The tensor in a trace."""
        return TracedTensor(self.shape, kind, is_float(self.dtype))

    def read(self, archive: ArchiveFile) -> torch.Tensor:
        """The tensor, in memory of its own."""
        import torch

        numbers = torch.frombuffer(
            bytearray(archive.content(self.entry, MAX_FILE_BYTES)), dtype=getattr(torch, self.dtype)
        )
        return numbers.as_strided(self.shape, self.strides, self.offset).clone(memory_format=torch.contiguous_format)


def is_float(dtype: str) -> bool:
    """Whether a type is a floating-point type, by its name in torch."""
    return "float" in dtype


def weights_of(archive: ArchiveFile, model: str) -> dict[str, ArchiveTensor]:
    """Key of the state_dict -> the tensor.

    Raises:
        ArchError: E621 if a tensor does not fit its entry, E623 if it is pickled.
    """
    return _configured(archive, "data/weights", f"{model}_weights_config.json", "weight_", "weight")


def constants_of(archive: ArchiveFile, model: str) -> dict[str, ArchiveTensor]:
    """Name of a constant -> the tensor.

    Raises:
        ArchError: E621 if a tensor does not fit its entry, E623 if a constant is an object or is pickled.
    """
    return _configured(archive, "data/constants", f"{model}_constants_config.json", "tensor_", "constant")


def _configured(archive: ArchiveFile, folder: str, config: str, prefix: str, kind: str) -> dict[str, ArchiveTensor]:
    entries = archive.json(f"{folder}/{config}")["config"]
    return {key: _tensor(archive, folder, prefix, f"{kind} `{key}`", payload) for key, payload in entries.items()}


def _tensor(archive: ArchiveFile, folder: str, prefix: str, title: str, payload: dict[str, Any]) -> ArchiveTensor:
    """A checked tensor: each of its numbers lies in its entry."""
    name = payload["path_name"]
    number = name.removeprefix(prefix)
    if payload["use_pickle"] or number == name:
        raise unsafe(
            archive.path,
            f"the {title} is pickled, and reading it would run code",
            "save the program with plain tensors: `torch.export.export` of a module without tensor subclasses",
        )
    if not number.isdigit():
        raise unsafe(archive.path, f"the {title} names the entry `{name}`")
    meta = payload["tensor_meta"]
    if meta["dtype"] not in NUMBER_TYPES or meta["layout"] != STRIDED:
        raise unreadable(archive.path, f"the {title} has numbers of type {meta['dtype']}, layout {meta['layout']}")
    dtype, width = NUMBER_TYPES[meta["dtype"]]
    shape, strides = _numbers(meta["sizes"]), _numbers(meta["strides"])
    (offset,) = _numbers([meta["storage_offset"]])
    entry = f"{folder}/{name}"
    held = archive.size(entry) // width
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and (last >= held or math.prod(shape) > held):
        raise unreadable(archive.path, f"the {title} of shape {list(shape)} does not fit its entry `{name}`")
    return ArchiveTensor(entry, dtype, shape, strides, offset)


def _numbers(sizes: list[dict[str, int]]) -> Shape:
    """Sizes that the archive states as numbers of a sane size."""
    numbers = tuple(size["as_int"] for size in sizes)
    if not all(type(number) is int and 0 <= number < MAX_NUMBER for number in numbers):
        raise ValueError("a size")
    return numbers
