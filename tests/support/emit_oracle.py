"""A second computation of a graph, as an oracle for emitted source, and small networks for the comparison.

`interpret` runs the nodes one by one from the operator table and a state_dict. It does not read scopes, classes or
emitted source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnext_dsl.compiler.torch_module import build
from resnext_dsl.emit.text.helper_classes import SUPPORT
from resnext_dsl.graph.ir import Graph
from resnext_dsl.networks.loading import loads
from resnext_dsl.operators import OPERATORS, ModuleCall

_NAMES: dict[str, Any] = {"torch": torch, "nn": nn, "F": F}
for _source in SUPPORT.values():
    exec(_source, _NAMES)


def interpret(graph: Graph, state: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """The value of every node in eval mode; every entry of the state_dict is used."""
    values: list[Tensor] = []
    used: set[str] = set()
    for node in graph.nodes:
        if node.operator == "input":
            values.append(x)
            continue
        shapes = tuple(graph.nodes[source].shape for source in node.inputs)
        source = OPERATORS[node.operator].source(node.attributes, shapes)
        taken = [values[index] for index in node.inputs]
        if isinstance(source, ModuleCall):
            module = eval(source.target, _NAMES)(*source.positional, **dict(source.keywords)).to(x.dtype)
            tensors = {key: state[f"{node.module_name}.{key}"] for key in module.state_dict()}
            used |= {f"{node.module_name}.{key}" for key in tensors}
            module.load_state_dict(tensors)
            values.append(module.eval()(*taken))
        else:
            places = [f"taken[{place}]" for place in range(len(taken))]
            text = source.text.format(*places, **dict(source.literals))
            values.append(eval(text, {**_NAMES, "taken": taken}))
    assert used == set(state)
    return values


def network(body: str, shape: str = "8x12x12") -> Graph:
    """The graph of a network with this body."""
    return loads(f"network net {{\n    input image: {shape}\n{body}\n}}\n").ir


def compiled(graph: Graph, seed: int = 0) -> nn.Module:
    """The module of a graph, its batch norms away from their neutral start."""
    model = build(graph, form="written", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d | nn.BatchNorm3d):
            module.running_mean.normal_(0.0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                nn.init.normal_(module.bias, 0.0, 0.1, generator=generator)
    return model


def image(graph: Graph, batch: int = 2) -> Tensor:
    """A batch of inputs, the same one every time."""
    return torch.randn(batch, *graph.nodes[0].shape, generator=torch.Generator().manual_seed(0))


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal bit by bit, or not a number at the same places."""
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())


def check_equal(graph: Graph, ordered: bool = True) -> nn.Module:
    """Check a graph's module against the oracle, bit by bit: results, stages, and the keys of its state_dict."""
    model = compiled(graph)
    # The root is in training mode, its children in eval mode, so that results of training can be compared too.
    model.eval().training = True
    x = image(graph)
    with torch.no_grad():
        results = model(x)
        stages = model.forward_stages(x) if hasattr(model, "forward_stages") else []
    values = interpret(graph, model.state_dict(), x)
    outputs = sorted(graph.outputs, key=lambda output: output.training_only)
    returned = results if isinstance(results, tuple) else (results,)
    for output, result in zip(outputs, returned, strict=True):
        assert same(result, values[output.node]), output.name
    parts = [part for part in graph.parts if part.kind in ("stem", "stage")]
    for part, stage in zip(parts, stages, strict=True):
        assert same(stage, values[part.node]), part.name
    if ordered:
        check_keys(graph, model)
    return model


def check_keys(graph: Graph, model: nn.Module) -> None:
    """Check that the state_dict has the names of the nodes' modules, in the order of their first execution."""
    place = {node.module_name: index for index, node in reversed(list(enumerate(graph.nodes)))}
    owners = [key.rpartition(".")[0] for key in model.state_dict()]
    assert [place[owner] for owner in owners] == sorted(place[owner] for owner in owners)


BOTTLENECK = """
    template bottleneck(channels, width, groups = 1, stride = 1) {
        residual {
            conv(width, 1x1); bn; relu
            conv(width, 3x3, stride=stride, groups=groups); bn; relu
            conv(channels, 1x1); bn
        }
        relu
    }
"""

RESNEXT = (
    BOTTLENECK
    + """
    stem { conv(8, 3x3); bn; relu }
    stage conv2 repeat 3 { bottleneck(16, 8, 4) }
    stage conv3 repeat 2 { bottleneck(32, 16, 4, first(2, 1)) }
    stage conv4 repeat 2 { bottleneck(64, 32, 4, first(2, 1)) }
    head { avgpool(global); flatten; linear(10) }
"""
)

AGGREGATED = """
    template block(channels, width, stride = 1) {
        residual {
            split 5 { conv(width, 1x1); bn; relu; conv(width, 3x3, stride=stride); bn; relu; conv(channels, 1x1) } merge add
            bn
        }
        relu
    }
    stem { conv(8, 3x3); bn; relu }
    stage conv2 repeat 2 { block(16, 2) }
    stage conv3 repeat 2 { block(32, 4, first(2, 1)) }
    head { avgpool(global); flatten; linear(10) }
"""

INCEPTION = """
    template unit(c, kernel, stride = 1) { conv(c, kernel, stride=stride); bn; relu }
    template module(n1, r3, n3, pool) {
        split {
            path { unit(n1, 1x1) }
            path { unit(r3, 1x1); unit(n3, 3x3) }
            path { maxpool(3x3, stride=1); unit(pool, 1x1) }
        } merge concat
    }
    stem { unit(8, 3x3) }
    stage a { module(12, 4, 8, 16) }
    stage b { module(16, 4, 8, 12) }
    output aux when training from a { avgpool(global); flatten; linear(10) }
    head { avgpool(global); flatten; dropout(0.2); linear(10) }
"""

MOBILE = """
    template squeeze(reduced) {
        split { path { identity }; path { avgpool(global); conv(reduced, 1x1); relu; conv(channels_in, 1x1); hardsigmoid } } merge mul
    }
    template block(c, expansion, kernel, se, act, stride = 1) {
        residual(shortcut=skip) {
            if expansion != 1 { conv(channels_in * expansion, 1x1); bn; act }
            conv(channels_here, kernel, stride=stride, groups=channels_here); bn; act
            if se { squeeze(8) }
            conv(c, 1x1); bn
        }
    }
    stem { conv(8, 3x3, stride=2); bn; hardswish }
    stage a { block(8, 1, 3x3, false, relu) }
    stage b { block(16, 4, 3x3, false, relu, 2); block(16, 3, 5x5, true, relu) }
    stage c repeat 2 { block(24, 2, 5x5, true, hardswish) }
    conv(32, 1x1); bn; hardswish
    head { avgpool(global); flatten; dropout(0.2); linear(10) }
"""

DENSE = """
    template layer(growth) {
        split { path { identity }; path { bn; relu; conv(2 * growth, 1x1); bn; relu; conv(growth, 3x3) } } merge concat
    }
    stem { conv(8, 3x3) }
    stage dense1 repeat 4 { layer(4) }
    stage transition { bn; relu; conv(channels_here // 2, 1x1); avgpool(2x2) }
    stage dense2 repeat 3 { layer(4) }
    bn; relu
    head { avgpool(global); flatten; linear(10) }
"""

UNET = """
    template double(c) { conv(c, 3x3); bn; relu; conv(c, 3x3); bn; relu }
    template down(c) { maxpool(2x2); double(c) }
    template up(c, skip) { upsample(2); conv(c, 3x3); concat(skip); double(c) }
    stage down1 { double(4) }
    stage down2 { down(8) }
    stage bottom { down(16) }
    stage up2 { up(8, down2) }
    stage up1 { up(4, down1) }
    head { conv(3, 1x1, bias=true) }
"""

SHUFFLE = """
    template unit(c) {
        split slice { path { identity }; path { conv(c // 2, 3x3); bn; relu } } merge concat
        shuffle(2)
    }
    stem { conv(16, 3x3, stride=2); bn; relu }
    stage a repeat 3 { unit(16) }
    head { avgpool(global); flatten; linear(10) }
"""

NETWORKS = {
    "resnext": RESNEXT,
    "aggregated": AGGREGATED,
    "inception": INCEPTION,
    "mobile": MOBILE,
    "dense": DENSE,
    "unet": UNET,
    "shuffle": SHUFFLE,
}
"""Small networks of seven families."""
