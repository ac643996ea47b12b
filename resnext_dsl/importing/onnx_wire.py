"""Walks the fields of an ONNX file without building a message, and bounds its structure.

The library of protobuf takes up to a hundred bytes of memory for a message of two bytes, so that a hostile file of 2 GB
would take all memory. The numbers of tensors are the large part of an honest file; the rest is counted here.
Source: the encoding of protobuf, and the numbers of the fields in `onnx.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnext_dsl.importing.model_file import unreadable

MAX_STRUCTURE_BYTES = 32 << 20
"""The most bytes beside the numbers of tensors; a network of 1,000 layers has some 2 MB."""

MAX_FIELDS = 2_000_000
"""The most fields that are walked."""

SMALL = 4096
"""A message up to this size is counted as a whole."""

MODEL_GRAPH = 7
"""The field of a model that holds its graph."""

_CHILDREN = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
}
"""Message -> field -> the message in it, for the path from a model to its tensors."""

_NUMBERS = {4, 5, 7, 9, 10, 11}
"""The fields of a tensor that hold its numbers: one block each in the files that libraries write."""


def check_structure(path: Path, content: bytes) -> None:
    """Walks a file from its model to its tensors.

    Raises:
        ArchError: E621 if a field ends after its message, or if the file has too much structure.
    """
    _Walk(path, content).run()


class _Walk:
    """Counts the fields and the bytes of one file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content
        self._fields = 0
        self._bytes = 0

    def run(self) -> None:
        graphs = 0
        for field, start, end in self._walk(0, len(self._content)):
            if field == MODEL_GRAPH:
                graphs += 1
                self._message("graph", start, end)
            else:
                self._count(end - start)
        if graphs != 1:
            raise unreadable(self._path, "it is not an ONNX file" if not graphs else "it has several graphs")

    def _message(self, kind: str, start: int, end: int) -> None:
        if end - start <= SMALL:
            self._count(end - start)
            return
        children = _CHILDREN.get(kind, {})
        for field, first, last in self._walk(start, end):
            if field in children:
                self._message(children[field], first, last)
            elif kind != "tensor" or field not in _NUMBERS:
                self._count(last - first)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_STRUCTURE_BYTES:
            raise unreadable(self._path, f"it has more than {MAX_STRUCTURE_BYTES} bytes beside the numbers of tensors")

    def _walk(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, first byte and end of each field of a message."""
        place = start
        while place < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise unreadable(self._path, f"it has more than {MAX_FIELDS} fields")
            self._count(1)
            key, place = self._varint(place, end)
            kind = key & 7
            if kind == 0:
                last = self._varint(place, end)[1]
            elif kind == 2:
                size, place = self._varint(place, end)
                last = place + size
            elif kind in {1, 5}:
                last = place + (8 if kind == 1 else 4)
            else:
                raise unreadable(self._path, "it is not an ONNX file, or it is damaged")
            if last > end:
                raise unreadable(self._path, "it is truncated or damaged")
            yield key >> 3, place, last
            place = last

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        """A number of variable length, and the place after it."""
        value = shift = 0
        while place < end and shift < 70:
            byte = self._content[place]
            value |= (byte & 127) << shift
            place += 1
            shift += 7
            if byte < 128:
                return value, place
        raise unreadable(self._path, "it is truncated or damaged")
