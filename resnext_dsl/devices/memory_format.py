"""The memory format of a network's tensors: channels innermost (`channels_last`) or outermost (`contiguous`).

One table chooses it by the device, the type and the groups of convolutions. Functions import torch when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnext_dsl.foundation.diagnostics import did_you_mean
from resnext_dsl.foundation.number_types import NUMBER_TYPES
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph
from resnext_dsl.operators import OPERATORS

if TYPE_CHECKING:
    import torch
    from torch import nn

AUTO, CONTIGUOUS, CHANNELS_LAST = "auto", "contiguous", "channels_last"

LAYOUTS = (AUTO, CONTIGUOUS, CHANNELS_LAST)
"""The values of an option; "auto" is a row of `TABLE` in inference, and torch's own layout in training."""


class LayoutRule(NamedTuple):
    """A row of the table.

    Attributes:
        devices: Kinds of devices; none for all others.
        half: Whether the type has 16 bits; None for any type.
        grouped: Whether a grouped convolution has more than one channel a group; None for either.
        layout: The memory format.
        reason: The reason and its evidence.
    """

    devices: tuple[str, ...]
    half: bool | None
    grouped: bool | None
    layout: str
    reason: str


TABLE: tuple[LayoutRule, ...] = (
    LayoutRule(("cpu", "meta"), None, None, CHANNELS_LAST, "measured on a CPU: benchmarks/layout.py"),
    LayoutRule(
        ("cuda",),
        True,
        False,
        CHANNELS_LAST,
        # torch/_inductor/graph.py, `decide_layout_opt`: 0.73 to 0.82 of the time on average over the convolutions of
        # torch's benchmark; 1.86 times as fast for one depthwise shape.
        "not measured on a GPU yet: tensor cores take 16-bit types with channels innermost, without a transposition",
    ),
    LayoutRule(
        ("cuda",),
        True,
        True,
        CONTIGUOUS,
        # The same function: 1.36 of the time on average, 31 times for one shape of two groups (pytorch 34977, 70954).
        "not measured on a GPU yet: torch's Inductor found grouped convolutions slower with channels innermost",
    ),
    LayoutRule(
        ("cuda",),
        False,
        None,
        CONTIGUOUS,
        "not measured on a GPU yet: cuDNN's kernels of 32 and 64 bits are written for channels outermost",
    ),
    LayoutRule((), None, None, CONTIGUOUS, "not measured: torch's own layout"),
)
"""The first row that matches gives the layout."""


def layout_of(requested: str, mode: str, device: str, dtype: str, grouped: bool) -> str:
    """The layout of a network.

    Args:
        requested: One of `LAYOUTS`.
        mode: "train" or "inference".
        device: Kind or name of a device: "cuda", "cuda:1".
        dtype: The name of a torch dtype.
        grouped: The result of `has_groups`.

    Raises:
        ValueError: If the layout is unknown.
    """
    if requested not in LAYOUTS:
        raise ValueError(f"layout {requested!r} is none of {', '.join(LAYOUTS)}")
    if requested != "auto":
        return requested
    return CONTIGUOUS if mode == "train" else rule_of(device, dtype, grouped).layout


def rule_of(device: str, dtype: str, grouped: bool) -> LayoutRule:
    """The row of the table for inference; the arguments are those of `layout_of`."""
    kind, half = device.partition(":")[0], NUMBER_TYPES[dtype] == 2
    return next(rule for rule in TABLE if _fits(rule, kind, half, grouped))


def _fits(rule: LayoutRule, kind: str, half: bool, grouped: bool) -> bool:
    conditions = (rule.half, half), (rule.grouped, grouped)
    return (kind in rule.devices or not rule.devices) and all(limit in (None, value) for limit, value in conditions)


def has_groups(graph: Graph) -> bool:
    """Whether a grouped convolution of a graph has more than one channel a group; depthwise ones do not count."""
    return any(
        node.attributes is not None
        and OPERATORS[node.operator].kind == "convolution"
        and 1 < getattr(node.attributes, "groups", 1) < graph.nodes[node.inputs[0]].shape[0]
        for node in graph.nodes
    )


def laid_out(model: nn.Module, layout: str) -> nn.Module:
    """The module with its weights in a layout; it takes inputs in either layout."""
    return model.to(memory_format=format_of(layout))  # type: ignore[call-overload, no-any-return]


def format_of(layout: str) -> torch.memory_format:
    """The torch constant of a layout."""
    import torch

    return torch.channels_last if layout == CHANNELS_LAST else torch.contiguous_format


def layout_in(model: nn.Module) -> str:
    """The layout of the weights of a module; kernels of one pixel or one channel have both."""
    import torch

    for value in model.parameters():
        if value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last) != value.is_contiguous():
            return CONTIGUOUS if value.is_contiguous() else CHANNELS_LAST
    return CONTIGUOUS


def hint_of(requested: str) -> str:
    """A hint for an unknown layout."""
    return did_you_mean(requested, LAYOUTS) or f"there are {', '.join(LAYOUTS)}"
