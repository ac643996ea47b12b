"""Chooses the kernel of a layer when it runs: from the table of the card, or by a measurement that the table keeps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from resnext_dsl.devices.torch_device import device_name
from resnext_dsl.kernels import tuning
from resnext_dsl.kernels.choice_table import ChoiceTable, KernelChoice, table_path
from resnext_dsl.kernels.configurations import Configuration, candidates
from resnext_dsl.kernels.layer_shape import LayerShape, fits

OLDEST_CAPABILITY = (8, 0)
"""The first compute capability (sm_80) whose cards multiply matrices of bfloat16 and TF32."""

_tables: dict[int, ChoiceTable] = {}
"""The table of each card of the process, by its index."""


@cache
def why_torch(device: torch.device) -> str:
    """The reason that a device runs torch's kernels only; "" if it runs ours too.

    The reason is one line: the device is no GPU, the card is too old, or Triton is missing.
    """
    if device.type != "cuda":
        return f"the device is `{device}`; the kernels need a CUDA device"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        version = ".".join(str(part) for part in capability)
        return f"{torch.cuda.get_device_name(device)} has compute capability {version}; the kernels need 8.0 or later"
    if torch.version.hip is not None:
        return "torch is built for ROCm; the kernels need CUDA"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; `pip install triton` adds it"
    return ""


def shape_of(x: Tensor, groups: int, stride: int, height: int = 0, width: int = 0) -> LayerShape:
    """The shape of a layer.

    Args:
        x: The input, (N, C, H, W); or the gradient of the result if height and width are given.
        groups: The groups of the layer.
        stride: 1 or 2.
        height: The height of the input, if `x` is a gradient.
        width: The width of the input, likewise.
    """
    batch, channels = int(x.shape[0]), int(x.shape[1])
    size = (height or int(x.shape[2]), width or int(x.shape[3]))
    return LayerShape(batch, channels, groups, *size, stride, str(x.dtype).removeprefix("torch."))


def chosen(
    direction: str,
    shape: LayerShape,
    device: torch.device,
    attempt: Callable[[int, Configuration], Tensor],
    torch_attempt: Callable[[int], Tensor],
) -> Configuration | None:
    """The configuration of a layer, or None for torch's kernel.

    A layer that the table does not have is measured at once. While a CUDA graph is captured nothing can be measured,
    and torch's kernel runs.

    Args:
        direction: One of `layer_shape.DIRECTIONS`.
        shape: The shape of the layer.
        device: The device of its tensors.
        attempt: Runs a configuration on the first images of the batch.
        torch_attempt: Runs torch's kernel on the first images of the batch.
    """
    if why_torch(device) or not fits(shape):
        return None
    table = table_of(device)
    key = f"{direction}: {shape.text()}"
    choice = table.get(key)
    if choice is None:
        if torch.cuda.is_current_stream_capturing():
            return None
        choice = tuning.with_smaller_batch(
            lambda images: tuning.measured(
                candidates(direction, shape),
                lambda configuration: attempt(images, configuration),
                lambda: torch_attempt(images),
                device,
            ),
            shape.batch,
        ) or KernelChoice(configuration=None, seconds=0.0, torch_seconds=0.0)
        table.put(key, choice)
    known = choice.configuration is not None and _is_candidate(direction, shape._replace(batch=1), choice.configuration)
    return choice.configuration if known else None


@cache
def _is_candidate(direction: str, shape: LayerShape, configuration: Configuration) -> bool:
    """Whether a configuration computes a layer: a file may have been edited."""
    return configuration in set(candidates(direction, shape))


def table_of(device: torch.device) -> ChoiceTable:
    """The table of a card; it is read once in a process."""
    index = torch.cuda.current_device() if device.index is None else device.index
    if index not in _tables:
        _tables[index] = ChoiceTable(table_path(device_name(device)), card_of(device))
    return _tables[index]


def card_of(device: torch.device) -> dict[str, str]:
    """The card and the versions that times belong to."""
    import triton

    from resnext_dsl.devices.float32_precision import settings_of

    return {
        "name": device_name(device),
        "capability": ".".join(str(part) for part in torch.cuda.get_device_capability(device)),
        "torch": str(torch.__version__),
        "CUDA": str(torch.version.cuda),
        "Triton": str(triton.__version__),
        **settings_of(device),
    }


def forget() -> None:
    """Drops the tables that this process has read; the files stay."""
    _tables.clear()
    why_torch.cache_clear()
