"""Reads and writes checkpoint files; refuses a hostile file and never runs its content."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError
from resnext_dsl.weights.mismatch import shown

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts store the state_dict, beside epochs and optimizers."""

PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DistributedDataParallel and torch.compile put before every key."""

SAVED_AS = (".safetensors", ".pt", ".pth")


def load_checkpoint(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a state_dict from a file, on the CPU.

    Args:
        path: A `.safetensors` file, or one that `torch.load(weights_only=True)` reads.

    Raises:
        WeightsError: E702: the file cannot be read, or does not hold a state_dict.
    """
    file = str(path)
    if not _is_regular(path):
        raise _unreadable(file, "it is not a regular file" if os.path.lexists(path) else "there is no such file")
    try:
        if Path(path).suffix.lower() == ".safetensors":
            content: object = safetensors.torch.load_file(path, device="cpu")
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # a hostile file can raise any exception: the two libraries document no common base
        raise _unreadable(file, _first_line(reason)) from None
    return unwrap(content, file)


def unwrap(content: object, file: str) -> dict[str, Tensor]:
    """The state_dict of a checkpoint, taken out of wrapping dictionaries, without the prefixes of wrapping modules.

    Args:
        content: The content of a file, or an argument of a caller.
        file: The name of the checkpoint in errors.

    Raises:
        WeightsError: E702: the checkpoint holds no state_dict.
    """
    for _ in WRAPPERS:
        inner = _wrapped(content)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        raise _unreadable(file, f"it contains a {type(content).__name__} instead of a state_dict")
    if not content:
        raise _unreadable(file, "it contains no tensors")
    state = {key: _checked(key, value, file) for key, value in content.items()}
    for prefix in PREFIXES * 2:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _wrapped(content: object) -> object | None:
    if not isinstance(content, Mapping):
        return None
    return next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)


def _checked(key: object, value: object, file: str) -> Tensor:
    if not isinstance(key, str):
        raise _unreadable(file, f"it has a key of type {type(key).__name__}; keys must be tensor names")
    if not isinstance(value, Tensor):
        raise _unreadable(file, f"`{shown(key)}` is of type {type(value).__name__}, not a tensor")
    if value.layout != torch.strided or value.is_quantized or value.is_nested:
        raise _unreadable(file, f"`{shown(key)}` is sparse, nested or quantized; a plain tensor is needed")
    return value.detach()


def _is_regular(path: str | PathLike[str]) -> bool:
    """Whether the path is a regular file: opening a FIFO would wait forever for its writer."""
    try:
        return Path(path).is_file()
    except ValueError:  # NUL in the name
        return False


def save(path: str | PathLike[str], state: Mapping[str, Tensor]) -> None:
    """Write a state_dict; the file is complete, or it is not written.

    Args:
        path: A name that ends in `.safetensors`, `.pt` or `.pth`; an existing file is replaced.
        state: Tensors that may share memory and have any strides; each is written in full.

    Raises:
        WeightsError: E703: the file cannot be written.
    """
    file = str(path)
    suffix = Path(path).suffix.lower()
    if suffix not in SAVED_AS:
        raise _unwritable(file, f"its name must end in one of {', '.join(SAVED_AS)}")
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise _unwritable(file, "it is not a regular file")
    temporary = target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.tmp")
    tensors = _separate(state, file)
    try:
        if suffix == ".safetensors":
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            safetensors.torch.save_file(tensors, temporary)
            temporary.chmod(mode)  # as for any new file; the library gives read access only to the owner
        else:
            torch.save(tensors, temporary)
        os.replace(temporary, target)
    except Exception as reason:  # a full disk, a missing folder: each library raises another error
        raise _unwritable(file, _first_line(reason)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _separate(state: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU that share no memory: safetensors refuses others, torch.save writes too much."""
    tensors = {}
    seen: set[int] = set()
    for key, value in state.items():
        if value.is_meta:
            raise _unwritable(file, f"`{shown(key)}` has no values: it is on the meta device")
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        tensors[key] = tensor
    return tensors


def _first_line(reason: Exception) -> str:
    lines = str(reason).strip().splitlines()
    return f"{type(reason).__name__}: {shown(lines[0])}" if lines else type(reason).__name__


def _unreadable(file: str, reason: str) -> WeightsError:
    return WeightsError([Diagnostic("E702", f"the weights in `{file}` cannot be read: {reason}", file=file)])


def _unwritable(file: str, reason: str) -> WeightsError:
    return WeightsError([Diagnostic("E703", f"the weights cannot be written to `{file}`: {reason}", file=file)])
