"""Networks that share instances, held against fvcore, hand-written torch modules, torchvision, and in every form."""

from __future__ import annotations

import pytest
import torch
from emit_oracle import check_equal
from forms_oracle import Reference, compare, is_the_way_back
from memory_oracle import alive_at_once, saved_for_backward
from sharing_networks import drawn
from torch import Tensor, nn

import resnext_dsl as rx
from resnext_dsl.compiler.torch_module import build
from resnext_dsl.costs.fvcore_count import agree, measure
from resnext_dsl.graph.ir import uses_of_modules
from resnext_dsl.importing.libraries import declare_missing_operators
from resnext_dsl.networks.network import Network
from resnext_dsl.weights.layer_comparison import compare_layers

_DECLARED = declare_missing_operators()

from torchvision.models.detection.retinanet import RetinaNetHead  # noqa: E402  (the schemas come first)

LEVELS = 5
ANCHORS, CLASSES = 9, 91

RETINA = f"""network retina {{
    input image: 3x96x96
    param anchors = {ANCHORS}
    param classes = {CLASSES}
    template tower(out) {{
        repeat 4 {{ conv(256, 3x3, bias=true); relu }}
        conv(out, 3x3, bias=true)
    }}
    stem {{ conv(256, 3x3, stride=4) as c3 }}
    stage p4 {{ conv(256, 3x3, stride=2) as c4 }}
    stage p5 {{ conv(256, 3x3, stride=2) as c5 }}
    stage p6 {{ conv(256, 3x3, stride=2) as c6 }}
    stage p7 {{ conv(256, 3x3, stride=2) as c7 }}
    shared classification_head = tower(anchors * classes)
    shared regression_head = tower(anchors * 4)
    output classes4 from c4 {{ classification_head }}
    output classes5 from c5 {{ classification_head }}
    output classes6 from c6 {{ classification_head }}
    output classes7 from c7 {{ classification_head }}
    output boxes3 from c3 {{ regression_head }}
    output boxes4 from c4 {{ regression_head }}
    output boxes5 from c5 {{ regression_head }}
    output boxes6 from c6 {{ regression_head }}
    output boxes7 from c7 {{ regression_head }}
    use c3
    classification_head
    init {{
        conv.weight = normal(0.01)
        conv.bias = zeros
        classification_head.conv.bias = constant(-4.59511985013459)
    }}
}}
"""
"""RetinaNet's heads on five maps: Lin et al., ICCV 2017, Section 4."""


class Levels(nn.Module):
    """Five maps from one image, each by a strided convolution, and torchvision's heads on them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 256, 3, 4, 1, bias=False)
        self.stages = nn.ModuleList(nn.Conv2d(256, 256, 3, 2, 1, bias=False) for _ in range(LEVELS - 1))
        self.head = RetinaNetHead(256, ANCHORS, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        found = self.head(maps)
        return found["cls_logits"], found["bbox_regression"]


def rows(value: Tensor, columns: int) -> Tensor:
    """The values of one level in the order of torchvision: a row for each anchor of each place."""
    batch, _, height, width = value.shape
    return value.view(batch, -1, columns, height, width).permute(0, 3, 4, 1, 2).reshape(batch, -1, columns)


def ours_of(theirs: nn.Module) -> dict[str, Tensor]:
    """The weights of torchvision's heads under our names."""
    names = {"stem.weight": "stem.conv.weight"}
    names |= {f"stages.{k}.weight": f"p{k + 4}.conv.weight" for k in range(LEVELS - 1)}
    for head, last in (("classification_head", "cls_logits"), ("regression_head", "bbox_reg")):
        for field in ("weight", "bias"):
            names |= {f"head.{head}.conv.{k}.0.{field}": f"{head}.repeat.{k}.conv.{field}" for k in range(4)}
            names[f"head.{head}.{last}.{field}"] = f"{head}.conv.{field}"
    return {names[key]: tensor for key, tensor in theirs.state_dict().items()}


def test_heads_of_retinanet_equal_those_of_torchvision() -> None:
    network, theirs = rx.loads(RETINA), Levels().eval()
    cost, counted = network.cost(), measure(theirs, (3, 96, 96)).cost
    assert (cost.params, cost.flops, cost.activations) == (counted.params, counted.flops, counted.activations)
    assert cost.params - (256 * 3 * 9 + 4 * 256 * 256 * 9) == sum(p.numel() for p in theirs.head.parameters())
    ours = network.compile(form="written", mode="inference", weights=ours_of(theirs))
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, (logits, boxes) = ours(x), theirs(x)
    classes = [rows(value, CLASSES) for value in (found.main, *found[1:5])]
    assert torch.allclose(torch.cat(classes, 1), logits, atol=1e-5)
    assert torch.allclose(torch.cat([rows(value, 4) for value in found[5:]], 1), boxes, atol=1e-5)


def test_weights_of_torchvision_load_by_themselves() -> None:
    network, theirs = rx.loads(RETINA), Levels()
    model = network.compile(form="written", weights=theirs.state_dict())
    state = model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in ours_of(theirs).items())
    assert len(state) == len(theirs.state_dict())


def test_rules_of_init_start_the_one_module() -> None:
    model = rx.loads(RETINA).compile(form="written", seed=0)
    bias = {name: p for name, p in model.named_parameters() if name.endswith("bias")}
    assert all((p == -4.59511985013459).all() for name, p in bias.items() if name.startswith("classification_head"))
    assert all((p == 0).all() for name, p in bias.items() if name.startswith("regression_head"))
    assert 0.009 < model.classification_head.conv.weight.std() < 0.011


# --- hand-written modules ---

RECURRENT = """network recurrent {
    input image: 3x16x16
    param passes = 3
    template cell(c) { conv(c, 3x3); bn; relu }
    stem { conv(8, 3x3); relu }
    shared step = cell(8)
    stage turns repeat passes { residual { step } }
    split {
        path { step; conv(8, 1x1) }
        path { maxpool(3x3, stride=1); step }
    } merge concat
    head { avgpool(global); flatten; linear(4) }
}
"""


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class Recurrent(nn.Module):
    """The network above in plain torch."""

    def __init__(self, passes: int = 3) -> None:
        super().__init__()
        self.passes = passes
        self.stem, self.step = nn.Conv2d(3, 8, 3, 1, 1, bias=False), Cell()
        self.side, self.last = nn.Conv2d(8, 8, 1, bias=False), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for _ in range(self.passes):
            x = self.step(x) + x
        pooled = nn.functional.max_pool2d(x, 3, 1, 1)
        joined = torch.cat([self.side(self.step(x)), self.step(pooled)], 1)
        return self.last(nn.functional.adaptive_avg_pool2d(joined, 1).flatten(1))

    def ours(self) -> dict[str, Tensor]:
        """Its weights under our names."""
        names = {"stem": "stem.conv", "side": "paths.0.conv", "last": "head.linear"}
        split = [(key.partition("."), tensor) for key, tensor in self.state_dict().items()]
        return {f"{names.get(first, first)}.{rest}": tensor for (first, _, rest), tensor in split}


@pytest.mark.parametrize("passes", [0, 1, 3])
def test_a_recurrent_block_equals_a_module_of_torch(passes: int) -> None:
    network, theirs = rx.loads(RECURRENT, passes=passes), Recurrent(passes)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model = network.compile(form="written", weights=theirs.ours())
    assert network.cost().params == sum(parameter.numel() for parameter in theirs.parameters())
    agree(network.cost(), measure(model, (3, 16, 16)))
    counted = measure(theirs, (3, 16, 16)).cost
    assert (network.cost().flops, network.cost().activations) == (counted.flops, counted.activations)
    assert torch.allclose(model.eval()(x), theirs.eval()(x), atol=1e-6)


def test_gradients_of_all_uses_add_up() -> None:
    network, theirs = rx.loads(RECURRENT), Recurrent().double()
    model = network.compile(form="written", weights=theirs.ours(), dtype=torch.float64).train()
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    optimizers = [torch.optim.SGD(each.parameters(), 0.1) for each in (model, theirs.train())]
    for _ in range(3):
        for each, optimizer in zip((model, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            each(x).square().sum().backward()
            optimizer.step()
    state, gradients = model.state_dict(), {name: p.grad for name, p in model.named_parameters()}
    assert torch.allclose(gradients["step.conv.weight"], theirs.step.conv.weight.grad, atol=1e-12)
    for key, tensor in theirs.ours().items():
        assert torch.allclose(state[key], tensor, atol=1e-12), key
    assert state["step.bn.num_batches_tracked"] == 3 * 5


def test_the_module_is_held_once() -> None:
    model = rx.loads(RECURRENT).compile(form="written")
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    assert names == ["stem.conv", "step.conv", "paths.0.conv"]
    calls: list[str] = []
    model.step.register_forward_hook(lambda *_: calls.append("step"))
    model.eval()(torch.zeros(1, 3, 16, 16))
    assert calls == ["step"] * 5


CLASSIFIER = """network n {
    input image: 3x8x8
    shared last = linear(4)
    output other { avgpool(global); flatten; last }
    head { avgpool(global); flatten; last }
}
"""


def test_a_classifier_that_another_output_uses_cannot_be_reset() -> None:
    assert not hasattr(rx.loads(CLASSIFIER).compile(), "reset_classifier")
    model = rx.loads(CLASSIFIER.replace("flatten; last }\n    head", "flatten }\n    head")).compile()
    model.reset_classifier(7)
    assert model.eval()(torch.zeros(1, 3, 8, 8)).main.shape == (1, 7)


def test_a_comparison_with_a_reference_leaves_out_what_runs_several_times() -> None:
    network, theirs = rx.loads(RECURRENT), Recurrent()
    model = network.compile(form="written", weights=theirs.ours())
    names = {ours: key for key, ours in zip(theirs.state_dict(), theirs.ours(), strict=True)}
    compared = compare_layers(model, theirs, torch.randn(1, 3, 16, 16), list(names.items()))
    assert [layer.ours for layer in compared] == ["stem.conv", "paths.0.conv", "head.linear"]
    assert not any(layer.differs for layer in compared)


# --- rewriting ---

FOLDED = """network folded {
    input image: 3x8x8
    template unit(c) { conv(c, 3x3); bn; relu }
    conv(8, 3x3); bn
    shared cell = unit(8)
    cell; cell
    split { path { conv(4, 1x1); bn }; path { conv(4, 1x1); bn } } merge concat
    split { path { cell; conv(8, 1x1) }; path { cell; conv(8, 1x1) } } merge add
    shared one = conv(8, 1x1)
    split { path { one }; path { one; bn }; path { conv(8, 1x1) } } merge add
    shared joined = conv(8, 1x1)
    split { path { joined; bn }; path { joined; bn } } merge concat
}
"""


def test_rewriting_leaves_shared_operators_as_they_are() -> None:
    network = rx.loads(FOLDED)
    for form, mode in (("fastest", "train"), ("fastest", "inference")):
        rewritten = network.rewrite(form, mode)
        before, after = ([node for node in graph.nodes if node.module] for graph in (network.ir, rewritten.graph))
        assert [(n.name, n.operator, n.attributes, n.module) for n in before] == [
            (n.name, n.operator, n.attributes, n.module) for n in after
        ]
        assert len(rewritten.graph.nodes) < len(network.ir.nodes)
    reasons = [left.reason for left in network.rewrite("fastest").report.left.values()]
    assert "a path ends in a shared instance, which other places use too" in reasons


def hold_forms(network: Network) -> None:
    """Every form computes the same function, and returns the checkpoint."""
    reference = Reference(network)
    for form, mode in (("fastest", "train"), ("fastest", "inference"), ("written", "inference")):
        difference, other = compare(reference, form, mode)
        assert max(difference) <= 1e-9, (form, mode, difference)
        if mode == "train":
            assert is_the_way_back(other.weights, reference.state)


SINGLE = """network single {
    input image: 16x8x8
    template unit(c) { conv(c, 1x1); bn; relu; conv(c, 3x3, groups=4); bn; relu; conv(c, 1x1) }
    shared alone = unit(16)
    stage first { alone }
    shared often = unit(16)
    often; often
}
"""


def test_an_instance_with_one_use_is_rewritten_inside_its_module() -> None:
    network = rx.loads(SINGLE)
    for form, mode in (("a", "train"), ("b", "train"), ("fastest", "inference")):
        difference, other = compare(Reference(network), form, mode)
        assert max(difference) <= 1e-9
        names = {node.module_name.partition(".")[0] for node in other.graph.nodes[1:]}
        assert names == {"alone", "often"}
    operators = [node.operator for node in network.rewrite("fastest", "inference").graph.nodes]
    assert operators.count("bn") == 4


@pytest.mark.parametrize("text", [FOLDED, RECURRENT])
def test_every_form_of_a_network_computes_the_same(text: str) -> None:
    hold_forms(rx.loads(text))


def test_the_inference_of_a_network_drops_uses_of_training() -> None:
    text = RECURRENT.replace("    head", "    output aux when training from turns { step; bn }\n    head")
    network = rx.loads(text)
    hold_forms(network)
    first = RECURRENT.replace("    stage", "    output aux when training from stem { step }\n    stage")
    hold_forms(rx.loads(first))


# --- random networks ---


def hold(network: Network) -> None:
    """The emitted module is the graph; its costs and its memory are those of fvcore and torch."""
    check_equal(network.ir, ordered=False)  # a module of the network may run between two of a part
    model = build(network.ir, network.init, form="written")
    agree(network.cost(), measure(model, network.ir.nodes[0].shape))
    x, memory = torch.randn(2, *network.ir.nodes[0].shape), network.memory(batch=2)
    assert alive_at_once(model, x) == memory.peak_activations
    assert saved_for_backward(model, x) == memory.saved_activations
    assert memory.weights == 4 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("seed", range(9))
def test_a_random_network_holds(seed: int) -> None:
    network = drawn(seed)
    hold(network)
    hold_forms(network)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9, 500))
def test_many_random_networks_hold(seed: int) -> None:
    network = drawn(seed)
    hold(network)
    if uses_of_modules(network.ir):
        hold_forms(network)
