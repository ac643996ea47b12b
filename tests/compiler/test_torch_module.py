"""Compiled networks are plain modules: everything that torch does with modules works on them.

The device list holds CUDA where there is one.
"""

from __future__ import annotations

import copy
import io
import linecache
import pickle
import sys
import traceback
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from emit_oracle import INCEPTION, NETWORKS, RESNEXT, compiled, image, network
from torch import Tensor, nn

import resnext_dsl as rx
from resnext_dsl.compiler import torch_module as compiling
from resnext_dsl.compiler.torch_module import build
from resnext_dsl.emit import FieldInit

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def values(result: object) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]  # type: ignore[list-item]


def assert_same(result: object, expected: object, **tolerance: float) -> None:
    for value, wanted in zip(values(result), values(expected), strict=True):
        torch.testing.assert_close(value, wanted, **tolerance)


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NETWORKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


FEW = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("resnext", "inception", "shuffle") else pytest.mark.slow)
        for name in NETWORKS
    ],
    indirect=True,
)
"""A few of the networks in the quick tests of what takes long."""


@FEW
def test_torch_compile_takes_the_whole_graph(name: str, device: str) -> None:
    torch.compiler.reset()
    graph = network(NETWORKS[name])
    model = compiled(graph).to(device).eval()
    x = image(graph).to(device)
    assert_same(torch.compile(model, fullgraph=True, backend="eager")(x), model(x))


def test_torch_compile_takes_outputs_of_training(device: str) -> None:
    torch.compiler.reset()
    graph = network(INCEPTION)
    model = without_dropout(compiled(graph)).to(device)
    x = image(graph).to(device)
    result = torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager")(x)
    assert result._fields == ("main", "aux")
    assert_same(result, model(x))


@pytest.mark.slow
def test_torch_compile_differentiates(device: str) -> None:
    torch.compiler.reset()
    graph = network(RESNEXT)
    model = compiled(graph).to(device)
    plain = copy.deepcopy(model)
    x = image(graph).to(device)
    torch.compile(model, fullgraph=True, backend="aot_eager")(x).square().sum().backward()
    plain(x).square().sum().backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@FEW
def test_torch_export_keeps_the_batch_dynamic(name: str) -> None:
    graph = network(NETWORKS[name])
    model = compiled(graph).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (image(graph),), dynamic_shapes=({0: batch},))
    x = image(graph, batch=5)
    assert_same(program.module()(x), model(x))


def test_torch_export_of_a_network_with_outputs_of_training() -> None:
    graph = network(INCEPTION)
    model = without_dropout(compiled(graph))
    program = torch.export.export(model, (image(graph),))
    assert_same(tuple(program.module()(image(graph))), tuple(copy.deepcopy(model)(image(graph))))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is not supported in Python 3.14:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@FEW
def test_jit_trace(name: str) -> None:
    graph = network(NETWORKS[name])
    model = compiled(graph).eval()
    traced = torch.jit.trace(model, image(graph))
    x = image(graph, batch=3)
    assert_same(traced(x), model(x))


def test_fx_symbolic_trace(name: str) -> None:
    graph = network(NETWORKS[name])
    for training in (False, True):
        model = without_dropout(compiled(graph)).train(training)
        traced = torch.fx.symbolic_trace(model)
        called = {node.target for node in traced.graph.nodes if node.op == "call_module"}
        layers = {node.name for node in graph.nodes if f"{node.name}.weight" in model.state_dict()}
        assert layers - called <= ({key for key in layers if key.startswith("aux")} if not training else set())
        assert_same(tuple(values(traced(image(graph)))), tuple(values(copy.deepcopy(model)(image(graph)))))


@pytest.fixture
def process_group(tmp_path: object) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_data_parallel() -> None:
    graph = network(INCEPTION)
    model = without_dropout(compiled(graph))
    plain = copy.deepcopy(model)
    for module in (nn.parallel.DistributedDataParallel(model), plain):
        sum(value.square().sum() for value in module(image(graph))).backward()
    assert all(
        torch.equal(ours.grad, theirs.grad) for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True)
    )


def test_autocast(name: str, device: str) -> None:
    graph = network(NETWORKS[name])
    model = compiled(graph).to(device).eval()
    x = image(graph).to(device)
    with torch.autocast(device, torch.bfloat16):
        result = model(x)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), model(x), rtol=0.1, atol=0.1)


def test_channels_last(name: str, device: str) -> None:
    graph = network(NETWORKS[name])
    model = compiled(graph).to(device).eval()
    x = image(graph).to(device)
    expected = model(x)
    result = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_deep_copies_are_separate(name: str) -> None:
    graph = network(NETWORKS[name])
    model = compiled(graph).eval()
    copied = copy.deepcopy(model)
    expected = model(image(graph))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(copied(image(graph)), expected)


def test_state_dict_round_trip_without_pickled_code(name: str) -> None:
    graph = network(NETWORKS[name])
    model, other = compiled(graph).eval(), compiled(graph, seed=1).eval()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(image(graph)), model(image(graph)))


def test_modules_can_be_pickled_within_a_process() -> None:
    graph = network(RESNEXT)
    model = compiled(graph).eval()
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(model)
    assert torch.equal(again(image(graph)), model(image(graph)))


def test_rows_can_be_sliced() -> None:
    graph = network(RESNEXT)
    model = compiled(graph).eval()
    x = image(graph)
    assert torch.equal(model.stem[1:](model.stem[:1](x)), model.stem(x))
    assert torch.equal(model.conv2[:3](x.repeat(1, 1, 1, 1)), model.conv2(x))


def test_the_meta_device_makes_no_parameters(name: str) -> None:
    graph = network(NETWORKS[name])
    model = build(graph, form="written", device="meta", seed=0)
    assert all(value.is_meta for value in model.state_dict().values())
    assert model.eval()(image(graph).to("meta")).is_meta
    model.to_empty(device="cpu").load_state_dict(compiled(graph).state_dict())
    assert torch.equal(model(image(graph)), compiled(graph).eval()(image(graph)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes(dtype: torch.dtype, name: str, device: str) -> None:
    graph = network(NETWORKS[name])
    model = build(graph, dtype=dtype, device=device, seed=0).eval()
    assert {p.dtype for p in model.parameters()} == {dtype}
    x = image(graph).to(device)
    result = model(x.to(dtype))
    assert result.dtype == dtype
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(
        result.float(), build(graph, device=device, seed=0).eval()(x), rtol=tolerance, atol=tolerance
    )


def test_hooks_fire_on_every_leaf(name: str) -> None:
    graph = network(NETWORKS[name])
    model = compiled(graph)
    leaves = [key for key, module in model.named_modules() if not list(module.children())]
    fired: list[str] = []
    for key in leaves:
        model.get_submodule(key).register_forward_hook(lambda *_, key=key: fired.append(key))
    model(image(graph))
    assert sorted(fired) == sorted(leaves)
    nodes = [node.name for node in graph.nodes]
    if len(graph.outputs) == 1:
        assert [key for key in fired if key in nodes] == [key for key in nodes if key in fired]


def test_hooks_fire_on_every_stage() -> None:
    graph = network(RESNEXT)
    model = compiled(graph)
    fired = []
    for child in ("stem", "conv2", "conv3", "conv4", "head"):
        model.get_submodule(child).register_forward_hook(lambda *_, child=child: fired.append(child))
    model(image(graph))
    assert fired == ["stem", "conv2", "conv3", "conv4", "head"]


def test_a_seed_is_reproducible_and_touches_no_generator(device: str) -> None:
    graph = network(RESNEXT)
    torch.manual_seed(11)
    expected = torch.randn(3)
    torch.manual_seed(11)
    one, two = (build(graph, device=device, seed=4).state_dict() for _ in range(2))
    assert torch.equal(torch.randn(3), expected)
    assert all(torch.equal(one[key], two[key]) for key in one)
    other = build(graph, device=device, seed=5).state_dict()
    assert not torch.equal(one["stem.conv.weight"], other["stem.conv.weight"])


def test_a_seed_is_one_network_on_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, moves, to = network(RESNEXT), [], nn.Module.to

    def moved(module: nn.Module, *arguments: object, device: object = None, **options: object) -> nn.Module:
        moves.append(device)
        return to(module, *arguments, **options)

    expected = {mode: build(graph, seed=4, mode=mode).state_dict() for mode in ("train", "inference")}
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(torch.cuda, "_lazy_init", no_call)
    monkeypatch.setattr(torch.cuda, "_lazy_call", no_call)
    for mode, weights in expected.items():
        there = build(graph, device="cuda:1", seed=4, mode=mode).state_dict()
        assert torch.device("cuda:1") in moves
        assert all(torch.equal(there[key], weights[key]) for key in weights)
        moves.clear()


def no_call(*arguments: object, **options: object) -> None:
    raise AssertionError("CUDA is called")


def test_without_a_seed_the_global_generator_decides() -> None:
    graph = network(RESNEXT)
    torch.manual_seed(4)
    one = build(graph).state_dict()
    torch.manual_seed(4)
    two = build(graph).state_dict()
    three = build(graph).state_dict()
    seeded = build(graph, seed=4).state_dict()
    assert all(torch.equal(one[key], two[key]) and torch.equal(one[key], seeded[key]) for key in one)
    assert not torch.equal(two["stem.conv.weight"], three["stem.conv.weight"])


def test_modes() -> None:
    graph = network(RESNEXT)
    assert build(graph).training
    model = build(graph, mode="inference")
    assert not any(module.training for module in model.modules())
    with pytest.raises(ValueError, match="mode 'test' is none of train, inference"):
        build(graph, mode="test")


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="form 'd' is none of"):
        build(network(RESNEXT), form="d")


def test_weights_are_loaded_after_the_start() -> None:
    graph = network(RESNEXT)
    state = compiled(graph).state_dict()
    model = build(graph, (FieldInit("conv", "weight", "zeros"),), weights=state)
    assert all(torch.equal(model.state_dict()[key], state[key]) for key in state)


def test_one_source_is_one_set_of_classes() -> None:
    graph = network(RESNEXT)
    assert type(build(graph)) is type(build(graph))
    assert type(build(graph)) is not type(build(network(INCEPTION)))


def test_tracebacks_show_the_emitted_lines() -> None:
    model = build(network(RESNEXT))
    with pytest.raises(RuntimeError) as caught:
        model(torch.zeros(1, 5, 12, 12))
    text = "".join(traceback.format_exception(caught.value))
    assert "return self.forward_head(self.forward_features(x))" in text
    assert "x = self.stem(x)" in text
    linecache.checkcache()
    assert "x = self.stem(x)" in "".join(traceback.format_exception(caught.value))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is not supported in Python 3.14:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
def test_classes_of_templates_can_be_scripted() -> None:
    graph = network(RESNEXT)
    model = compiled(graph).eval()
    block = model.conv3[0]
    x = torch.randn(2, 16, 6, 6)
    assert torch.equal(torch.jit.script(block)(x), block(x))


def test_sources_of_models_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled_with(classes: int) -> nn.Module:
        return rx.loads(TINY, classes=classes).compile(device="meta")

    first = compiled_with(1)
    monkeypatch.setattr(compiling, "SWEPT", sum(name.startswith(PREFIX) for name in sys.modules) + 3)
    copied, block = copy.deepcopy(compiled_with(2)), compiled_with(3).stem
    gone = type(compiled_with(4)).__module__
    compiled_with(5)
    for model in (first, copied, block):
        assert type(model).__module__ in sys.modules
        assert pickle.loads(pickle.dumps(model)) is not None
    assert gone not in sys.modules
    assert f"<{gone}>" not in linecache.cache
    assert type(compiled_with(4)).__module__ == gone


TINY = """
network tiny {
    input image: 3x8x8
    param classes = 10
    stem { conv(4, 3x3); bn; relu }
    head { avgpool(global); flatten; linear(classes) }
}
"""
PREFIX = "resnext_dsl_compiled_"


def test_a_weight_that_torch_cannot_hold_is_an_error_at_its_place() -> None:
    text = "network n { input x: 3 x 2147483647 x 2147483647; flatten; linear(2147483647) }"
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text).compile(device="meta")
    (diagnostic,) = caught.value.diagnostics
    count = 3 * 2147483647**3
    assert (diagnostic.code, diagnostic.message) == (
        "E205",
        f"`weight` of `linear` has {count} numbers; torch holds at most 9223372036854775807",
    )
    assert diagnostic.span is not None
    assert diagnostic.span.text == "linear(2147483647)"
