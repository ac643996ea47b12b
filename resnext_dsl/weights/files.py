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
from resnext_dsl.weights.shown import shown
from resnext_dsl.weights.unpickling import UnreadableError, read_torch_file
from resnext_dsl.weights.wrappers import StateDict, state_dict_of

SAVED_AS = (".safetensors", ".pt", ".pth")


def load_checkpoint(path: str | PathLike[str], ema: bool | None = None) -> dict[str, Tensor]:
    """Read a state_dict from a file, on the CPU.

    Args:
        path: A `.safetensors` file, or a file of `torch.save`; nothing in it is run.
        ema: Whether to take the moving average of the weights; None follows the library that wrote the file.

    Raises:
        WeightsError: E702: the file cannot be read, or does not hold a state_dict.
    """
    return read_checkpoint(path, ema).tensors


def read_checkpoint(
    weights: str | PathLike[str] | Mapping[str, Tensor], ema: bool | None = None, mapped: bool = False
) -> StateDict:
    """The state_dict of a file or of a mapping, out of its wrappers, with the warning and the keys left out.

    Args:
        weights: A file, or a state_dict, which may have wrappers too.
        ema: As for `load_checkpoint`.
        mapped: Whether tensors may lie in the mapped file, for a caller that copies them at once.

    Raises:
        WeightsError: E702, as for `load_checkpoint`.
    """
    file = name_of(weights)
    try:
        content = weights if isinstance(weights, Mapping) else _content(weights, mapped)
        return state_dict_of(content, file, ema)
    except UnreadableError as reason:
        raise _unreadable(file, str(reason), reason.hint) from None


def name_of(weights: str | PathLike[str] | Mapping[str, Tensor]) -> str:
    """The name of a checkpoint in messages."""
    return "weights" if isinstance(weights, Mapping) else str(weights)


def _content(path: str | PathLike[str], mapped: bool) -> object:
    if not _is_regular(path):
        raise UnreadableError("it is not a regular file" if os.path.lexists(path) else "there is no such file")
    try:
        if Path(path).suffix.lower() != ".safetensors":
            return read_torch_file(Path(path), mapped)
        tensors = safetensors.torch.load_file(path, device="cpu")  # they lie in the mapped file
        return tensors if mapped else {key: tensor.clone() for key, tensor in tensors.items()}
    except (UnreadableError, MemoryError):
        raise
    except OSError as reason:
        raise UnreadableError((reason.strerror or str(reason)).lower()) from None
    except Exception:  # a hostile file can raise any exception: the library documents none
        raise UnreadableError("it is no safetensors file, or it is damaged or truncated") from None


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


def _unreadable(file: str, reason: str, hint: str) -> WeightsError:
    message = f"the weights in `{shown(file)}` cannot be read: {reason}"
    return WeightsError([Diagnostic("E702", message, hint=hint, file=shown(file))])


def _unwritable(file: str, reason: str) -> WeightsError:
    return WeightsError([Diagnostic("E703", f"the weights cannot be written to `{file}`: {reason}", file=file)])
