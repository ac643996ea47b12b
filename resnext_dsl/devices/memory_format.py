"""The memory format of a network's tensors: channels innermost (`channels_last`) or outermost (`contiguous`).

One table chooses it by mode, device, type and the groups of convolutions. Functions import torch when called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from resnext_dsl.foundation.diagnostics import did_you_mean
from resnext_dsl.foundation.number_types import NUMBER_TYPES
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.ranks import CLIP, FEATURES, IMAGE, rank_of

if TYPE_CHECKING:
    import torch
    from torch import nn

AUTO, CONTIGUOUS, CHANNELS_LAST = "auto", "contiguous", "channels_last"

LAYOUTS = (AUTO, CONTIGUOUS, CHANNELS_LAST)
"""The values of an option; "auto" is a row of `TABLE`."""

UNGROUPED, DEPTHWISE, NARROW, MIXED, WIDE = "ungrouped", "depthwise", "narrow", "mixed", "wide"
"""Kinds of networks by the channels a group of their grouped convolutions, both of the input and of the result.

- ungrouped: no grouped convolution
- depthwise: one channel a group in all of them
- narrow: all others have 4, 8, 16 or 32 channels a group (ResNeXt)
- mixed: others have up to 64 channels a group (RegNet: 24 and 48)
- wide: one has more than 64 channels a group
"""

NO_IMAGES = "no images"
"""The kind of a network that convolves signals or clips."""

MEASURED_WIDTHS = frozenset({4, 8, 16, 32})
"""The channels a group that were measured on a GPU and are a power of two."""
WIDEST = 64
"""The most channels a group for which a training step on a CPU is faster with channels innermost."""

H100 = "measured on an NVIDIA H100 with torch 2.11, 2026-11-28: "
"""The origin of a measurement: the files of that card and date in benchmarks/gpu/results."""
NOT_MEASURED = "not measured on a GPU yet: "


class LayoutRule(NamedTuple):
    """A row of the table.

    Attributes:
        mode: "train" or "inference"; "" for both.
        devices: Kinds of devices; none for all others.
        half: Whether the network computes in 16 bits; None for any type.
        groups: Kinds of networks by their groups; none for all.
        layout: The memory format.
        reason: The reason and its evidence.
    """

    mode: str
    devices: tuple[str, ...]
    half: bool | None
    groups: tuple[str, ...]
    layout: str
    reason: str


TABLE: tuple[LayoutRule, ...] = (
    LayoutRule(
        "", (), None, (NO_IMAGES,), CONTIGUOUS, "torch's own layout: networks of signals and clips are not measured"
    ),
    LayoutRule("inference", ("cpu", "meta"), None, (), CHANNELS_LAST, "measured on a CPU: benchmarks/layout.py"),
    LayoutRule(
        "train",
        ("cpu",),
        False,
        (DEPTHWISE, NARROW, MIXED),
        CHANNELS_LAST,
        # oneDNN's training kernels of few channels a group are slow with channels outermost. Without groups, and with
        # more than 64 channels a group, a step takes between 0.82 and 1.64 of the time, depending on the network.
        "measured on a CPU: benchmarks/layout.py train",
    ),
    LayoutRule(
        "inference",
        ("cuda",),
        True,
        (UNGROUPED, NARROW),
        CHANNELS_LAST,
        H100 + "0.73 to 0.76 of the time of contiguous at batch 64 and 0.73 to 0.94 at batch 1, for resnet50 and "
        "resnext50_32x4d in float16 and bfloat16",
    ),
    LayoutRule(
        "train",
        ("cuda",),
        True,
        (NARROW,),
        CHANNELS_LAST,
        H100 + "a step in contiguous takes 1.65 of the time of channels_last at batch 128, for resnext50_32x4d and "
        "resnext101_32x4d under autocast in bfloat16",
    ),
    LayoutRule(
        "",
        ("cuda",),
        True,
        (MIXED, WIDE),
        CONTIGUOUS,
        H100 + "the forward of layers of 24 and 48 channels a group takes 1.11 to 2.75 of the time of contiguous in "
        "channels_last, in bfloat16; other widths and whole networks are not measured",
    ),
    LayoutRule(
        "inference",
        ("cuda",),
        True,
        (DEPTHWISE,),
        CHANNELS_LAST,
        # torch/_inductor/graph.py, `decide_layout_opt`: one depthwise shape is 1.86 times as fast.
        NOT_MEASURED + "torch's Inductor found depthwise convolutions faster with channels innermost",
    ),
    LayoutRule(
        "inference",
        ("cuda",),
        False,
        (UNGROUPED, NARROW),
        CONTIGUOUS,
        H100 + "channels_last takes 1.21 and 1.32 of the time of contiguous at batch 64, for resnet50 and "
        "resnext50_32x4d in IEEE float32; TF32 and float64 are not measured",
    ),
    LayoutRule("", (), None, (), CONTIGUOUS, "not measured: torch's own layout"),
)
"""The first row that matches gives the layout."""


class ConvolutionChannels(NamedTuple):
    """The channels of a convolution.

    Attributes:
        channels: Of the input.
        out_channels: Of the result.
        groups: 1 if it is not grouped.
    """

    channels: int
    out_channels: int
    groups: int


def layout_of(requested: str, mode: str, device: str, dtype: str, groups: str) -> str:
    """The layout of a compiled network.

    In training on a CPU, "auto" is torch's own layout: code that a user writes around a module may `view` its feature
    maps, which needs that layout. `train` and searches use `training_layout`.

    Args:
        requested: One of `LAYOUTS`.
        mode: "train" or "inference".
        device: Kind or name of a device: "cuda", "cuda:1".
        dtype: The name of a torch dtype.
        groups: The result of `groups_of`.

    Raises:
        ValueError: If the layout is unknown.
    """
    if requested not in LAYOUTS:
        raise ValueError(f"layout {requested!r} is none of {', '.join(LAYOUTS)}")
    if requested != AUTO:
        return requested
    if mode == "train" and device == "cpu":
        return CONTIGUOUS
    return rule_of(mode, device, dtype, groups).layout


def training_layout(model: nn.Module, device: str, dtype: str) -> str:
    """The layout in which a module trains fastest by the table.

    Args:
        model: A compiled network.
        device: Kind or name of a device.
        dtype: The name of the torch dtype in which its convolutions compute; under autocast, the type of autocast.
    """
    sides = kernel_sides(model)
    kind = kind_of(convolutions_in(model)) if IMAGE in sides or not sides else NO_IMAGES
    return rule_of("train", device, dtype, kind).layout


def rule_of(mode: str, device: str, dtype: str, groups: str) -> LayoutRule:
    """The row of the table; the arguments are those of `layout_of`."""
    kind, half = device.partition(":")[0], NUMBER_TYPES[dtype] == 2
    return next(rule for rule in TABLE if _fits(rule, mode, kind, half, groups))


def _fits(rule: LayoutRule, mode: str, kind: str, half: bool, groups: str) -> bool:
    conditions = (rule.mode, mode), (rule.half, half)
    lists = (rule.devices, kind), (rule.groups, groups)
    return all(limit in (None, "", value) for limit, value in conditions) and all(
        value in limits or not limits for limits, value in lists
    )


def groups_of(graph: Graph) -> str:
    """The kind of a network: one of `UNGROUPED`, `DEPTHWISE`, `NARROW`, `MIXED`, `WIDE`, `NO_IMAGES`."""
    if rank_of(graph.nodes[0].shape) not in (FEATURES, IMAGE):
        return NO_IMAGES
    return kind_of(
        ConvolutionChannels(graph.nodes[node.inputs[0]].shape[0], node.shape[0], getattr(node.attributes, "groups", 1))
        for node in graph.nodes
        if node.attributes is not None and OPERATORS[node.operator].kind == "convolution"
    )


def convolutions_in(model: nn.Module) -> list[ConvolutionChannels]:
    """The convolutions of a module, also transposed ones and those of any number of dimensions."""
    from torch.nn.modules.conv import _ConvNd

    modules = [module for module in model.modules() if isinstance(module, _ConvNd)]
    return [ConvolutionChannels(module.in_channels, module.out_channels, module.groups) for module in modules]


def kernel_sides(model: nn.Module) -> set[int]:
    """The numbers of sides of the kernels in a module."""
    return {parameter.dim() - 2 for parameter in model.parameters() if parameter.dim() > 2}


def kind_of(convolutions: Iterable[ConvolutionChannels]) -> str:
    """The kind of a network with some convolutions."""
    grouped = [convolution for convolution in convolutions if convolution.groups > 1]
    others = [one for one in grouped if one.channels > one.groups]
    widths = {channels // one.groups for one in others for channels in (one.channels, one.out_channels)}
    if not widths:
        return DEPTHWISE if grouped else UNGROUPED
    if widths <= MEASURED_WIDTHS:
        return NARROW
    return MIXED if max(widths) <= WIDEST else WIDE


def laid_out(model: nn.Module, layout: str) -> nn.Module:
    """The module with its weights in a layout; it takes inputs in either layout.

    Channels are innermost in kernels of clips too (`torch.channels_last_3d`). Kernels of signals keep their layout.
    """
    import torch

    if layout != CHANNELS_LAST or CLIP not in kernel_sides(model):
        return model.to(memory_format=format_of(layout))  # type: ignore[call-overload, no-any-return]
    for parameter in model.parameters():
        if parameter.dim() == CLIP + 2:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return model


def format_of(layout: str) -> torch.memory_format:
    """The torch constant of a layout."""
    import torch

    return torch.channels_last if layout == CHANNELS_LAST else torch.contiguous_format


def layout_in(model: nn.Module) -> str:
    """The layout of the weights of a module; kernels of one pixel or one channel have both."""
    import torch

    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for value in model.parameters():
        last = formats.get(value.dim())
        if last is not None and value.is_contiguous(memory_format=last) != value.is_contiguous():
            return CONTIGUOUS if value.is_contiguous() else CHANNELS_LAST
    return CONTIGUOUS


def hint_of(requested: str) -> str:
    """A hint for an unknown layout."""
    return did_you_mean(requested, LAYOUTS) or f"there are {', '.join(LAYOUTS)}"
