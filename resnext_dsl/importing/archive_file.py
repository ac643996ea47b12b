"""Reads the entries of an archive of torch.export: a zip file whose entries are not compressed.

torch's own loader unpickles parts of an archive. This reader takes the graph, which is JSON, and tensors, which are
plain numbers. It opens no other entry. The sizes that the archive states are checked before memory is taken.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from resnext_dsl.importing.model_file import of_another_version, size_of, unreadable, unsafe

MAX_DIRECTORY_BYTES = 16 << 20
"""The longest directory of a zip file: some 150,000 entries."""

MAX_JSON_BYTES = 32 << 20
"""The longest text of a graph; the text of a network of 1,000 layers has some 2 MB."""

VERSION = b"0"
"""The version of the layout of archives: `ARCHIVE_VERSION_VALUE` of torch."""

_HEADER = struct.Struct("<26sHH")
"""The header of an entry: its fields, and the lengths of its name and of its extra field."""

_SAVE_AGAIN = "save it again with `torch.export.save` of torch 2.9 or later"


class ArchiveFile:
    """The entries of one archive by their names below its root folder.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Reads the directory of an archive.

        Raises:
            ArchError: E621 if the file is damaged, E622 if it is no archive of torch.export or of another version.
        """
        self.path = path
        self._check_directory(size_of(path))
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except Exception:  # a damaged directory can raise any exception
            raise self._damaged() from None
        self._entries = self._below_root(entries)
        self._check_format()

    def names(self, pattern: str) -> list[str]:
        """The names of entries that a pattern matches as a whole."""
        return [name for name in self._entries if re.fullmatch(pattern, name)]

    def size(self, name: str) -> int:
        """The size of an entry in bytes; -1 if there is none."""
        return self._entries[name].file_size if name in self._entries else -1

    def content(self, name: str, most: int) -> bytes:
        """The content of an entry of at most `most` bytes.

        Raises:
            ArchError: E621 if the entry is missing, damaged or too large.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise unreadable(self.path, f"the archive has no entry `{name}`")
        if entry.file_size > most:
            raise unreadable(self.path, f"the entry `{name}` has {entry.file_size} bytes; at most {most} are read")
        content = self._stored(entry)
        if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
            raise unreadable(self.path, f"the entry `{name}` is damaged or truncated")
        return content

    def _stored(self, entry: zipfile.ZipInfo) -> bytes:
        """The bytes after the header of an entry. Python's zipfile reads the whole directory for each opened file."""
        try:
            with self.path.open("rb") as file:
                file.seek(entry.header_offset)
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size or not header.startswith(b"PK\x03\x04"):
                    return b""
                file.seek(sum(_HEADER.unpack(header)[1:]), os.SEEK_CUR)
                return file.read(entry.file_size)
        except (OSError, ValueError):  # a place before the file
            return b""

    def json(self, name: str) -> dict[str, Any]:
        """The object of an entry of JSON.

        Raises:
            ArchError: E621 if the entry is missing, damaged, too large or no object.
        """
        text = self.content(name, MAX_JSON_BYTES)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise unreadable(self.path, f"the entry `{name}` is not valid JSON") from None
        if not isinstance(value, dict):
            raise unreadable(self.path, f"the entry `{name}` is not an object of JSON")
        return value

    def _check_directory(self, size: int) -> None:
        """Bounds the directory of the file before Python's zipfile reads it into memory."""
        with self.path.open("rb") as file:
            start = file.read(4)
            file.seek(max(0, size - 65_557))  # the end record and the longest comment
            tail = file.read()
            if start[:2] != b"PK":
                raise of_another_version(self.path, "it is not an archive of torch.export", _SAVE_AGAIN)
            place = tail.rfind(b"PK\x05\x06")
            if place < 0 or len(tail) - place < 22:
                raise self._damaged()
            length = struct.unpack_from("<L", tail, place + 12)[0]
            if length == 0xFFFF_FFFF:  # the record of zip64 states it
                at = tail.rfind(b"PK\x06\x06")
                if at < 0 or len(tail) - at < 56:
                    raise self._damaged()
                length = struct.unpack_from("<Q", tail, at + 40)[0]
        if length > MAX_DIRECTORY_BYTES:
            raise unreadable(self.path, f"its directory has {length} bytes; at most {MAX_DIRECTORY_BYTES} are read")

    def _below_root(self, entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        root = entries[0].filename.partition("/")[0] if entries else ""
        below: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            folder, _, name = entry.filename.partition("/")
            if folder != root or ".." in entry.filename.split("/") or not name or "\\" in name:
                raise unsafe(self.path, f"the entry `{entry.filename}` lies outside the folder of the archive")
            if name in below:
                raise unreadable(self.path, f"the archive has the entry `{name}` twice")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise of_another_version(
                    self.path, f"the entry `{name}` is compressed or encrypted, and torch compresses none"
                )
            below[name] = entry
        return below

    def _check_format(self) -> None:
        """Refuses other archives by their markers."""
        if "archive_format" not in self._entries:
            old = "serialized_exported_program.json" in {name.rpartition("/")[2] for name in self._entries}
            reason = "torch 2.7 or an earlier version wrote it, with pickled weights" if old else "it has no format"
            raise of_another_version(self.path, reason, _SAVE_AGAIN)
        kind = self.content("archive_format", 64)
        if kind != b"pt2":
            raise of_another_version(self.path, f"its format is {kind!r}", _SAVE_AGAIN)
        version = self.content("archive_version", 64)
        if version != VERSION:
            raise of_another_version(
                self.path, f"its layout has version {version!r}, and version {VERSION!r} is read", _SAVE_AGAIN
            )
        if "byteorder" in self._entries and self.content("byteorder", 64) != b"little":
            raise of_another_version(self.path, "its numbers are not little-endian")

    def _damaged(self) -> Exception:
        return unreadable(self.path, "it is a damaged or truncated zip archive")
