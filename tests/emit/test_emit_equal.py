"""Emitted source computes the graph: compared with the oracle, and with modules written by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from emit_oracle import NETWORKS, RESNEXT, check_equal, compiled, image, network
from torch import Tensor, nn


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_its_graph(name: str) -> None:
    check_equal(network(NETWORKS[name]))


BODIES = {
    "shortcut projection": "stage a repeat 3 { residual(shortcut=projection) { conv(8, 3x3); bn } }",
    "shortcut pad": "stage a repeat 3 { residual(shortcut=pad) { conv(16, 3x3, stride=first(2, 1)); bn } }",
    "shortcut of its own": """
        template block(c, stride) {
            residual { conv(c, 3x3, stride=stride); bn } shortcut { if stride > 1 { avgpool(2x2) }; conv(c, 1x1); bn }
            relu
        }
        stage a repeat 3 { block(16, first(2, 1)) }""",
    "shortcut before in place": "stage a repeat 2 { conv(8, 1x1); residual { relu; conv(8, 3x3); bn; relu; conv(8, 3x3) } }",
    "merges": "stage a { "
    + "; ".join(
        f"split 3 {{ conv(8, 3x3); sigmoid }} merge {merge}" for merge in ("add", "mul", "mean", "maximum", "concat")
    )
    + " }",
    "many paths": "stage a { split 7 { conv(8, 1x1) } merge mean; split 4 slice { identity } merge concat }",
    "paths that differ in number": """
        template block(paths) { split paths { conv(8, 3x3) } merge add }
        stage a { block(2); block(9); block(1) }""",
    "paths of other kinds": """
        template block(f) { split { path { if f { conv(8, 3x3) } else { avgpool(3x3, stride=1) } }; path { bn } } merge mean }
        stage a { block(true); block(false) }""",
    "a path of nothing but an expression": "stage a { split { path { scale(0.5) }; path { conv(8, 3x3) } } merge add }",
    "paths that feed one another": """
        template block(adds) {
            split slice {
                path { conv(2, 3x3) as y1 }
                path { if adds { add(y1) }; conv(2, 3x3) as y2 }
                path { if adds { add(y2) }; conv(2, 3x3) }
                path { if not adds { avgpool(3x3, stride=1) } }
            } merge concat
        }
        stage a { block(true); block(false); block(true) }""",
    "nested splits": """
        template fork(c) { split { path { conv(c, 1x3) }; path { conv(c, 3x1) } } merge concat }
        stage a { split { path { conv(8, 1x1) }; path { conv(4, 1x1); fork(4) } } merge concat; fork(8) }""",
    "repeats in repeats": "stage a repeat 2 { repeat 3 { conv(8, 3x3); repeat 2 { bn; relu } } }",
    "a line of widths": "stage a { for c in [8, 12, 16, 20] { conv(c, 3x3); bn } }",
    "a table of widths": "template u(c, s) { conv(c, 3x3, stride=s) } stage a { for c, s in [[8, 1], [12, 2], [9, 1], [7, 2], [5, 1]] { u(c, s) } }",
    "values across passes": "stage a { conv(8, 1x1) as v; repeat 3 { conv(8, 3x3); add(v); relu } }",
    "values out of passes": "stage a { conv(8, 1x1) as v; repeat 3 { conv(8, 3x3) as q; bn; add(v) }; concat(q) }",
    "values across stages": "stage a { conv(8, 3x3) as v; bn } stage b { conv(8, 1x1); concat(v, a) } head { bn; concat(image) }",
    "several values of a template": """
        template t(c) { conv(c, 3x3) as v; relu; conv(c, 3x3); add(v) }
        stage a repeat 2 { t(8) as w; bn; concat(w); conv(8, 1x1) }""",
    "optional parts": """
        template t(c, a, b, act) {
            if a { conv(c, 1x1); bn; act }
            residual(shortcut=skip) { if b { conv(c, 3x3); if a { bn } }; conv(c, 3x3) }
            if b and a { split { path { identity }; path { avgpool(global); conv(c, 1x1); sigmoid } } merge mul }
            scale(0.5 if a else 0.25)
        }
        stage s { t(8, true, true, relu); t(8, false, true, silu); t(16, true, false, relu); t(8, false, false, gelu) }""",
    "alternatives": """
        template t(f) { if f { conv(8, 3x3); bn } else { avgpool(3x3, stride=1) }; conv(8, 1x1) }
        stage s { t(true); t(false); t(true) }""",
    "a template in another's parameter": """
        template one(c) { conv(c, 1x1) }
        template two(c) { conv(c, 3x3); bn }
        template outer(inner, c) { inner(c); relu }
        stage s { outer(one, 8); outer(two, 16); outer(one, 8) }""",
    "templates inside each other in turn": """
        template a(inner) { conv(8, 1x1); inner; bn }
        template b(inner) { conv(8, 3x3); inner; relu }
        stage s { a(b(relu)); b(a(bn)) }""",
    "two outputs": "stage a { conv(8, 3x3) } stage b { conv(16, 3x3) } output mask from a { conv(2, 1x1) } head { bn; conv(3, 1x1) }",
    "outputs of training and always": """
        stage a { conv(8, 3x3) } stage b { conv(16, 3x3) }
        output mask from a { conv(2, 1x1) } output aux when training from b { conv(4, 1x1) }
        head { avgpool(global); flatten; linear(3) }""",
    "an output inside the head": "stage a { conv(8, 3x3) } head { conv(4, 1x1) as h; relu; conv(3, 1x1) } output low from h",
    "an output that is a stage": "stage a { conv(8, 3x3) } stage b { bn } output low from a",
    "no parts": "conv(8, 3x3); bn; relu; conv(4, 1x1)",
    "no head": "stage a repeat 2 { conv(8, 3x3); bn }",
    "statements between stages": "stem { conv(4, 3x3) } bn; relu; stage a { conv(8, 3x3) } scale(0.5); stage b { conv(8, 3x3) }",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_construct_is_its_graph(name: str) -> None:
    check_equal(network(BODIES[name]))


class HandBottleneck(nn.Module):
    """The block as a person would write it."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=4, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.down: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.down is None else self.down(x)))


class HandNetwork(nn.Module):
    """The network of `RESNEXT`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        rows = [
            (8, 8, 16, 1),
            (16, 8, 16, 1),
            (16, 8, 16, 1),
            (16, 16, 32, 2),
            (32, 16, 32, 1),
            (32, 32, 64, 2),
            (64, 32, 64, 1),
        ]
        self.blocks = nn.ModuleList(HandBottleneck(*row) for row in rows)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("training", [False, True])
def test_a_network_is_what_one_would_write_by_hand(training: bool) -> None:
    graph = network(RESNEXT)
    model, hand = compiled(graph), HandNetwork()
    state, theirs = model.state_dict(), hand.state_dict()
    assert [tuple(value.shape) for value in state.values()] == [tuple(value.shape) for value in theirs.values()]
    hand.load_state_dict(dict(zip(theirs, state.values(), strict=True)))
    results = []
    for module in (model.train(training), hand.train(training)):
        x = image(graph).requires_grad_()
        result = module(x)
        result.square().sum().backward()
        results.append((result, x.grad, [parameter.grad for parameter in module.parameters()]))
    (ours, our_input, our_grads), (by_hand, hand_input, hand_grads) = results
    assert torch.equal(ours, by_hand)
    assert torch.equal(our_input, hand_input)
    assert all(torch.equal(a, b) for a, b in zip(our_grads, hand_grads, strict=True))


def test_nothing_is_written_over_that_is_read_again() -> None:
    """In training, backward reads values that forward stored: gradients equal those without in-place modules."""
    body = """
        stem { conv(8, 3x3); relu; bn; relu }
        stage a { residual { relu; conv(8, 3x3); sigmoid; relu; conv(8, 3x3) }; relu; maxpool(3x3, stride=1); relu6 }
        stage b { split { path { relu; conv(8, 1x1) }; path { hardswish; conv(8, 1x1) } } merge concat; leaky_relu }
        stage c { conv(8, 1x1) as v; relu; add(v); silu; flatten; relu; linear(4); relu }"""
    graph = network(body)
    model, plain = compiled(graph), compiled(graph)
    for module in plain.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    assert any(getattr(module, "inplace", False) for module in model.modules())
    grads = []
    for module in (model, plain):
        x = image(graph).requires_grad_()
        module(x).square().sum().backward()
        grads.append([x.grad, *(parameter.grad for parameter in module.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_keys_are_the_names_of_the_nodes() -> None:
    model = compiled(network(RESNEXT))
    assert [key for key in model.state_dict() if key.startswith("conv3.0.") and key.endswith("weight")] == [
        "conv3.0.conv1.weight",
        "conv3.0.bn1.weight",
        "conv3.0.conv2.weight",
        "conv3.0.bn2.weight",
        "conv3.0.conv3.weight",
        "conv3.0.bn3.weight",
        "conv3.0.shortcut.conv.weight",
        "conv3.0.shortcut.bn.weight",
    ]
    assert not any("shortcut" in key for key in model.state_dict() if key.startswith("conv3.1."))
