"""Reads spec files and resolves their imports.

Every path stays under the root folder, with symbolic links resolved. Only regular files are opened. The size and the
number of files are bounded.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Span, did_you_mean, error, nearest
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.parse import parse

SHIPPED = Path(__file__).parents[1] / "specs"
"""The folder of shipped networks; its folder `std` holds the libraries."""


class SpecFile(NamedTuple):
    """A parsed file with its imports, each with the file that it names."""

    file: s.File
    imports: tuple[tuple[s.Import, SpecFile], ...]
    shipped: bool

    @property
    def name(self) -> str:
        """The file's name in diagnostics."""
        return self.file.span.source.name


def the_network(module: SpecFile) -> s.NetworkDeclaration | s.Derived:
    """The one network of a file.

    Raises:
        ArchError: E504 if the file has no network or more than one.
    """
    networks = [item for item in module.file.items if isinstance(item, s.NetworkDeclaration | s.Derived)]
    if not networks:
        hint = "declare one: `network NAME { ... }`"
        raise ArchError([Diagnostic("E504", "the file has no network", hint=hint, file=module.name)])
    if len(networks) > 1:
        hint = "put each network into a file of its own"
        message = f"the file has {len(networks)} networks"
        raise error("E504", message, networks[1].name.span, hint=hint)
    return networks[0]


def shipped_names() -> list[str]:
    """Names of the shipped networks."""
    return sorted(path.stem for path in SHIPPED.glob("*.arch"))


def find(spec: str | os.PathLike[str]) -> Path:
    """The file of a spec: a path, or the name of a shipped network.

    Raises:
        ArchError: E505 with the nearest name, if neither exists.
    """
    text = os.fsdecode(spec)
    if "\0" in text or not _encodable(text):
        raise error("E505", "the path of the spec has characters that a file name cannot contain")
    path = Path(text)
    shipped = SHIPPED / f"{text}.arch"
    if text.isidentifier() and not os.path.isfile(path) and os.path.isfile(shipped):
        return shipped
    if os.path.lexists(path):
        return path
    raise _no_such_spec(text, path)


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _no_such_spec(text: str, path: Path) -> ArchError:
    folder = path.parent if path.suffix else None
    there = [entry.name for entry in folder.glob("*.arch")] if folder is not None and os.path.isdir(folder) else []
    match = nearest(path.name, there) if there else None
    hint = f"did you mean `{(folder or Path()) / match}`?" if match else did_you_mean(path.stem, shipped_names())
    shown = text if len(text) <= 100 else text[:100] + "..."
    what = (
        f"there is no file `{shown}`"
        if path.suffix or "/" in text
        else f"`{shown}` is neither a file nor a shipped network"
    )
    listed = hint or "`resnext-dsl zoo` lists the shipped networks"
    return ArchError([Diagnostic("E505", what, hint=listed, file=shown)])


def read(path: Path, name: str, options: Options, span: Span | None = None) -> Source:
    """The text of a file.

    Raises:
        ArchError: E501 if it is not a readable regular file, E401 if it is too large, E001 if it is not UTF-8.
    """
    try:
        # The check comes before opening: opening a FIFO or a device can block or have an effect.
        _refuse_special(path.stat().st_mode, name, span)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as problem:
        raise _unreadable(name, getattr(problem, "strerror", None) or "not a path", span) from None
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        try:
            _refuse_special(os.fstat(descriptor).st_mode, name, span)
            raw = stream.read(options.max_source_bytes + 1)
        except OSError as problem:
            raise _unreadable(name, problem.strerror or "it cannot be read", span) from None
        finally:
            os.close(descriptor)
    return decode(raw, name, options, path.resolve())


def _refuse_special(mode: int, name: str, span: Span | None) -> None:
    if not stat.S_ISREG(mode):
        raise _unreadable(name, f"it is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}", span)


def _unreadable(name: str, why: str, span: Span | None) -> ArchError:
    return ArchError([Diagnostic("E501", f"cannot read `{name}`: {why[0].lower()}{why[1:]}", span, file=name)])


def decode(raw: bytes, name: str, options: Options, path: Path | None = None) -> Source:
    """A source from bytes, which must be UTF-8 and not too many."""
    if len(raw) > options.max_source_bytes:
        message = f"the text is larger than {options.max_source_bytes} bytes"
        raise ArchError([Diagnostic("E401", message, hint="the option `max_source_bytes` sets the limit", file=name)])
    try:
        return Source(name, raw.decode("utf-8"), path)
    except UnicodeDecodeError as problem:
        before = Source(name, raw[: problem.start].decode("utf-8") + "\N{REPLACEMENT CHARACTER}", path)
        span = Span(before, len(before.text) - 1, len(before.text))
        message = f"byte 0x{raw[problem.start]:02X} is not UTF-8"
        raise error("E001", message, span, hint="save the file as UTF-8") from None


def text_source(text: str, name: str, options: Options) -> Source:
    """A source from a Python string; a lone surrogate is refused, like a byte that is not UTF-8."""
    raw = text.encode("utf-8", "surrogatepass")
    return decode(raw, name, options)


class Loader:
    """Follows the imports of one spec.

    Attributes:
        root: The folder that contains all imported files; None for text without a folder.
    """

    def __init__(self, root: Path | None, options: Options) -> None:
        self.root = root.resolve() if root is not None else None
        self.options = options
        self._loaded: dict[Path, SpecFile] = {}
        self._open: list[Path] = []

    def load(self, source: Source, shipped: bool = False) -> SpecFile:
        """The module of a source, with all its imports, depth first."""
        file = parse(source, self.options)
        if source.path is not None:
            self._open.append(source.path)
        imports = tuple((item, self._import(item, source)) for item in file.items if isinstance(item, s.Import))
        if source.path is not None:
            self._open.pop()
        return SpecFile(file, imports, shipped)

    def _import(self, item: s.Import, source: Source) -> SpecFile:
        if item.library:
            return self._library(item)
        path = self._inside_root(item, source)
        if path in self._open:
            circle = [*self._open[self._open.index(path) :], path]
            shown = " -> ".join(part.name for part in circle)
            raise error("E503", f"circular import: {shown}", item.span)
        if path not in self._loaded:
            if len(self._loaded) + 1 >= self.options.max_files:
                message = f"the spec and its imports exceed the file limit (={self.options.max_files})"
                raise error("E406", message, item.span, hint="the option `max_files` sets the limit")
            inside = SHIPPED.resolve() in path.parents
            name = str(Path(source.name).parent / item.path)
            self._loaded[path] = self.load(read(path, name, self.options, item.span), inside)
        return self._loaded[path]

    def _inside_root(self, item: s.Import, source: Source) -> Path:
        shown = item.path[:100]
        if self.root is None:
            raise error(
                "E502", f"`{shown}` cannot be imported: this text has no root folder", item.span, hint="pass `root=`"
            )
        if "\0" in item.path or not _encodable(item.path) or Path(item.path).is_absolute():
            raise error("E502", f"an import path must be relative to its file; found `{shown}`", item.span)
        folder = source.path.parent if source.path is not None else self.root
        try:
            path = (folder / item.path).resolve()
        except (OSError, RuntimeError):
            raise error("E501", f"cannot read `{shown}`: it is not a path", item.span) from None
        if self.root not in path.parents:
            hint = "the root folder is the folder of the spec; move the file into it"
            raise error("E502", f"`{shown}` is outside the root folder", item.span, hint=hint)
        if not os.path.lexists(path):
            there = [entry.name for entry in path.parent.glob("*.arch")] if path.parent.is_dir() else []
            raise error("E501", f"there is no file `{shown}`", item.span, hint=did_you_mean(path.name, there))
        return path

    def _library(self, item: s.Import) -> SpecFile:
        folder, _, name = item.library.partition(".")
        place = {"std": SHIPPED / "std", "networks": SHIPPED}.get(folder)
        path = place / f"{name}.arch" if place is not None and name and "." not in name else None
        if path is None or not path.is_file():
            libraries = sorted(f"std.{library.stem}" for library in (SHIPPED / "std").glob("*.arch"))
            networks = [f"networks.{network}" for network in shipped_names()]
            near = did_you_mean(item.library, [*libraries, *networks])
            hint = near or f"libraries: {', '.join(libraries)}, and `networks.NAME` for each shipped network"
            raise error("E501", f"there is no library `{item.library}`", item.span, hint=hint)
        return _shipped_library(path, f"{folder}/{path.name}", path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _shipped_library(path: Path, name: str, _changed: int) -> SpecFile:
    """A shipped library or network, parsed once per process, or again if the file has changed."""
    options = Options()
    loader = Loader(SHIPPED, options)
    return loader.load(read(path, name, options), shipped=True)
