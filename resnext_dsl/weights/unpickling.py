"""Reads files of `torch.save` without running anything in them: objects beside the tensors become placeholders.

Training scripts store more than tensors: the arguments of the command, scalars of numpy, configurations. The types in
`INERT` are read as placeholders without content. Any other type ends the reading with an error that names it.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch

from resnext_dsl.weights.inert_types import MAPPINGS, OBJECTS
from resnext_dsl.weights.shown import shown

MAX_TYPES = 4
"""The most types that an error names."""

MAX_PICKLE_BYTES = 64 << 20
"""The longest pickle in which the error looks for the key of the weights."""


class Inert:
    """The placeholder of an object that is not read. It ignores every argument and every state."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __new__(cls, *_: object, **__: object) -> Inert:
        """A placeholder, whatever the arguments."""
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


def _empty_dict(*_: object) -> dict[object, object]:
    return {}


INERT: dict[str, Callable[..., object]] = {
    **{name: type("Placeholder", (Inert,), {}) for name in OBJECTS},
    **dict.fromkeys(MAPPINGS, OrderedDict),
    "collections.defaultdict": _empty_dict,
}
"""Name of a type -> the placeholder that stands for it."""


class UnreadableError(Exception):
    """A file cannot be read.

    Attributes:
        hint: The way to repair it, or "".
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


def read_torch_file(path: Path, mapped: bool = False) -> object:
    """The content of a file of `torch.save`, on the CPU.

    Args:
        path: The file.
        mapped: Whether tensors lie in the mapped file. That saves a copy, and the file must not change meanwhile.

    Raises:
        UnreadableError: If the file is damaged, is of another format, or has objects of other types than `INERT`.
    """
    problem = _other_format(path)
    if problem:
        raise UnreadableError(problem)
    with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in INERT.items()]):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch remarks on the protocol of the pickle, which is read anyway
                return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped and _is_archive(path))
        except MemoryError:
            raise
        except Exception as reason:  # a damaged file can raise any exception
            raise _explained(path, str(reason)) from None


_BLOCKED = re.compile(r"GLOBAL ([\w.]+) (?:was not an allowed|whose module)")


def _other_format(path: Path) -> str:
    """The reason that a file is no checkpoint of torch, from its first bytes; "" if it may be one."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; `git lfs pull` fetches the file"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a page of HTML; the download went wrong"
    return ""


def _explained(path: Path, reason: str) -> UnreadableError:
    """The error for a file that torch does not read."""
    zipped = zipfile.is_zipfile(path)
    types = _unknown_types(path) if zipped else [name for name in _BLOCKED.findall(reason) if name]
    if types:
        named = ", ".join(f"`{shown(name)}`" for name in types[:MAX_TYPES])
        more = f" and {len(types) - MAX_TYPES} more types" if len(types) > MAX_TYPES else ""
        return UnreadableError(f"it has objects that only running its code can read: {named}{more}", _saved_anew(path))
    if zipped and _is_torchscript(path):
        return UnreadableError(
            "it is a TorchScript archive",
            f"save its weights alone: {_command(path, '.state_dict()', 'torch.jit.load')}",
        )
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"PK"):
        return UnreadableError("it is a damaged or truncated archive of `torch.save`")
    if start.startswith(b"\x80"):
        return UnreadableError("it is a damaged or truncated pickle, or a pickle without tensors of torch")
    return UnreadableError("it is no file of `torch.save`")


def _is_archive(path: Path) -> bool:
    """Whether the file is a zip archive, which torch can map into memory; older files are pickles."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _unknown_types(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # a damaged archive
        return []


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _saved_anew(path: Path) -> str:
    """The line that saves the weights of a trusted file alone."""
    types = _unknown_types(path) if zipfile.is_zipfile(path) else []
    key = _key_of_weights(path)
    taken = f'["{key}"]' if key else ""
    if any(name.startswith("torch.nn.modules.") for name in types):
        taken += ".state_dict()"
    return f"if you trust the file, save its weights alone: {_command(path, taken)}"


def _command(path: Path, taken: str, reader: str = "torch.load") -> str:
    options = "" if reader == "torch.jit.load" else ", weights_only=False"
    return f'`torch.save({reader}("{shown(path.name)}"{options}){taken}, "weights.pth")`'


KEYS_OF_WEIGHTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights")
"""Keys under which training scripts store the state_dict, beside epochs and optimizers."""


def _key_of_weights(path: Path) -> str:
    """The key of the weights among the texts of the pickle; "" if there is none."""
    try:
        texts = {argument for _, argument, _ in pickletools.genops(_pickle_of(path)) if isinstance(argument, str)}
    except Exception:  # a damaged pickle
        return ""
    return next((key for key in KEYS_OF_WEIGHTS if key in texts), "")


def _pickle_of(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(MAX_PICKLE_BYTES)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with archive.open(name) as file:
            return file.read(MAX_PICKLE_BYTES)
