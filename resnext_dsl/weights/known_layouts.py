"""Networks of other libraries that their keys tell, and the attributes that follow.

A state_dict holds no eps, no padding, no dilation and no order of operators. Some networks have the shapes of a shipped
network and compute something else. docs/weights.md lists the networks whose keys do not tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from resnext_dsl.foundation.diagnostics import Diagnostic
from resnext_dsl.graph.ir import Graph
from resnext_dsl.weights.leaves import Shapes


class KnownLayout(NamedTuple):
    """A network that its keys tell.

    Attributes:
        title: Its name in messages.
        keys: A pattern that some keys match.
        differs: (graph) -> the difference from a graph, and the way to remove it; "" for none.
    """

    title: str
    keys: re.Pattern[str]
    differs: Callable[[Graph], tuple[str, str]]


def _eps(expected: float) -> Callable[[Graph], tuple[str, str]]:
    def differs(graph: Graph) -> tuple[str, str]:
        values = {dict(node.attributes)["eps"] for node in graph.nodes if node.operator == "bn" and node.attributes}
        if values <= {expected}:
            return "", ""
        here = " and ".join(f"{value:g}" for value in sorted(values))
        return f"its batch norms have eps={expected:g}, and those of this network {here}", f"--set eps={expected:g}"

    return differs


def _ceil(graph: Graph) -> tuple[str, str]:
    pools = [dict(node.attributes) for node in graph.nodes if node.operator == "maxpool" and node.attributes]
    if not pools or pools[0]["ceil"]:
        return "", ""
    return "its max pooling rounds sizes up", "maxpool(3x3, stride=2, padding=0, ceil=true)"


def _norm_before_pooling(graph: Graph) -> tuple[str, str]:
    operators = [node.operator for node in graph.nodes]
    norms = [position for position, operator in enumerate(operators) if operator == "layernorm"]
    pools = [position for position, operator in enumerate(operators) if operator == "avgpool"]
    if not norms or not pools or norms[-1] < pools[-1]:
        return "", ""
    return "its last norm comes before the pooling, and here it comes after", ""


LAYOUTS = (
    KnownLayout("torchvision's MobileNetV3", re.compile(r"features\.\d+\.block\.\d+\.fc1\.weight"), _eps(1e-3)),
    KnownLayout(
        "an Inception network", re.compile(r"(inception3a\.branch1|Mixed_5b\.branch1x1)\.conv\.weight"), _eps(1e-3)
    ),
    KnownLayout("timm's legacy_seresnet", re.compile(r"layer\d\.\d+\.se_module\.fc1\.weight"), _ceil),
    KnownLayout("a ConvNeXt of timm with `norm_pre`", re.compile(r"norm_pre\.weight"), _norm_before_pooling),
)
"""Each of these gave other outputs than the shipped network of its shapes, without a word."""


_SELECTIVE_KERNEL = re.compile(r"(.+)\.paths\.([01])\.conv")


def known_dilations(layers: Collection[str]) -> dict[str, tuple[int, int]]:
    """Dilations of paths that the keys tell: the two paths of timm's SKNets stand for kernels of 3 and 5.

    Args:
        layers: Names of all layers of a checkpoint.

    Returns:
        Name of a path -> dilation of its convolution.
    """
    dilations = {}
    for match in filter(None, map(_SELECTIVE_KERNEL.fullmatch, layers)):
        module, path = match[1], int(match[2])
        if f"{module}.attn.fc_select" in layers and f"{module}.paths.2.conv" not in layers:
            dilations[f"{module}.paths.{path}"] = (path + 1, path + 1)
    return dilations


def other_functions(graph: Graph, theirs: Shapes, file: str) -> list[Diagnostic]:
    """W914 for each known network that the keys tell and that computes something else than ours.

    Args:
        graph: The network.
        theirs: Shapes of the checkpoint.
        file: The name of the checkpoint.
    """
    warnings = []
    for layout in LAYOUTS:
        if not _matches(layout, theirs):
            continue
        difference, change = layout.differs(graph)
        if difference:
            message = f"the checkpoint is of {layout.title}: {difference}"
            hint = f"`{change}` computes the same" if change else ""
            warnings.append(Diagnostic("W914", message, hint=hint, file=file, severity="warning"))
    return warnings


def _matches(layout: KnownLayout, theirs: Mapping[str, object]) -> bool:
    return any(layout.keys.fullmatch(key) for key in theirs)
