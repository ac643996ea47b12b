"""The pieces that parts of `python -m benchmarks.gpu` are made of: out of memory, states of lines, layers, peers, ratios."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import references
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import resnext_dsl as rx
from benchmarks.gpu import device as devices
from benchmarks.gpu.command import Outcome, resnext_dsl
from benchmarks.gpu.environment import differs, values
from benchmarks.gpu.libraries import MARGIN, Oracle, errors, oracle
from benchmarks.gpu.networks import difference, distance, gradient, gradient_difference, settled, tiny_spec
from benchmarks.gpu.plan import COMMANDS
from benchmarks.gpu.run import ReportedError, Run, TimeOverError
from benchmarks.gpu.tax.floors import Floors
from benchmarks.gpu.tax.layers import DECISIVE, NETWORKS, Layer, _steps, distinct, grouped_layers
from benchmarks.gpu.tax.networks import BASE, COMPILED, EAGER, Case, _all, cases, variants_of
from benchmarks.gpu.tax.peers import SOURCE, peer
from benchmarks.gpu.timing import interleaved, ratios, spread
from benchmarks.gpu.truth import agreement, layouts
from benchmarks.gpu.truth.layouts import layout_of
from benchmarks.gpu.truth.training import checkpoint_stages

CPU = torch.device("cpu")
GPU = SimpleNamespace(type="cuda")


def run_on(folder: Path, device: object = CPU) -> tuple[Run, list[dict]]:
    sent: list[dict] = []
    return Run("part", device, True, folder, time.monotonic() + 60, sent.append), sent  # type: ignore[arg-type]


def test_a_smaller_batch_is_tried_and_said() -> None:
    tried, said = [], []

    def attempt(batch: int) -> str:
        tried.append(batch)
        if batch > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "fits"

    assert devices.with_smaller_batch(CPU, 100, attempt, said.append) == (12, "fits")
    assert tried == [100, 50, 25, 12]
    assert said == [f"batch {a} is out of memory; batch {b} is tried" for a, b in ((100, 50), (50, 25), (25, 12))]


def test_a_batch_of_one_that_does_not_fit_is_an_error() -> None:
    def attempt(batch: int) -> None:
        raise torch.OutOfMemoryError(f"no room for {batch}")

    with pytest.raises(torch.OutOfMemoryError, match=r"^no room for 1$"):
        devices.with_smaller_batch(CPU, 4, attempt, lambda _: None)


def test_nothing_of_a_failed_attempt_is_alive_when_memory_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    alive: list[weakref.ref] = []
    left: list[int] = []
    monkeypatch.setattr(devices, "release", lambda _: left.append(sum(one() is not None for one in alive)))

    def attempt(batch: int) -> int:
        values = torch.zeros(batch)
        alive.append(weakref.ref(values))
        if batch > 1:
            raise torch.OutOfMemoryError("full")
        return len(values)

    assert devices.with_smaller_batch(CPU, 4, attempt, lambda _: None) == (1, 1)
    assert left == [0, 0]


@pytest.mark.parametrize(
    ("problem", "breaks"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA is not what this is about"), False),
    ],
)
def test_errors_that_break_the_context_are_told_from_others(problem: Exception, breaks: bool) -> None:
    assert devices.breaks_context(problem) is breaks


def test_an_item_that_breaks_the_context_ends_the_part_after_its_line(tmp_path: Path) -> None:
    run, sent = run_on(tmp_path)
    with pytest.raises(ReportedError), run.item("an item"):
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with ...")
    assert [(line["what"], line["state"], line["figure"]) for line in sent] == [
        ("an item", "not ok", "RuntimeError: CUDA error: device-side assert triggered")
    ]


def test_what_only_a_gpu_can_tell_is_never_ok_on_the_cpu(tmp_path: Path) -> None:
    run, sent = run_on(tmp_path)
    run.check("on the CPU", True, "1", gpu_only=True)
    run.check("on the CPU", False, "2", gpu_only=True)
    run.check("anywhere", True, "3")
    run, more = run_on(tmp_path, GPU)
    run.check("on a GPU", True, "4", gpu_only=True)
    assert [(line["state"], line["figure"]) for line in sent + more] == [
        ("left out", "no GPU; the same steps ran on the CPU"),
        ("not ok", "2"),
        ("ok", "3"),
        ("ok", "4"),
    ]


@pytest.mark.parametrize(("capability", "computes"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_card_before_sm_80_does_not_compute_in_bf16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], computes: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert devices.computes_bf16(torch.device("cuda", 0)) is computes


def test_a_machine_without_a_gpu_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(devices.RefusedError, match=r"torch .* is built without CUDA; `--dry` runs the same code"):
        devices.chosen(dry=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(devices.RefusedError, match="CUDA_VISIBLE_DEVICES='7' leaves none, or none is there"):
        devices.chosen(dry=False)
    assert devices.chosen(dry=True) == CPU


def test_flags_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark)

    def change() -> None:
        with devices.flags_kept():
            devices.set_tf32(not before[0])
            torch.backends.cudnn.benchmark = not before[2]
            raise KeyError("changed")

    with pytest.raises(KeyError, match="changed"):
        change()
    assert before == (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
    )


def test_the_environment_names_versions_and_flags() -> None:
    found = values(CPU)
    assert found["torch"].startswith(torch.__version__)
    assert found["TF32 by default"] == "convolutions on, products off"
    assert found["cudnn.benchmark by default"] == "off"
    assert differs()["torch.AcceleratorError"] == "there"


def conv_layers(module: nn.Module, size: int) -> list[tuple[object, ...]]:
    """The grouped 3x3 convolutions that run in a module, by its hooks: channels, groups, stride, sizes."""
    found: list[tuple[object, ...]] = []

    def note(conv: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if conv.kernel_size == (3, 3) and conv.groups > 1:
            sizes = (*inputs[0].shape[2:], *output.shape[2:])
            found.append((conv.in_channels, conv.out_channels, conv.groups, conv.stride, *sizes))

    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_hook(note)  # type: ignore[arg-type]
    with torch.no_grad():
        module.eval()(torch.empty(1, 3, size, size, device="meta"))
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("name", NETWORKS)
def test_grouped_layers_are_those_that_run_in_the_library_s_module(name: str) -> None:
    module = references.structure(name)
    expected = conv_layers(module, 224)
    layers = grouped_layers(rx.load(name))
    found = [
        (one.channels, one.out_channels, one.groups, one.stride, one.height, one.width, one.out_height, one.out_width)
        for one in layers
    ]
    assert found == expected
    assert bool(found) is (name not in ("resnet50", "resnet101"))


def test_layers_that_networks_share_are_timed_once() -> None:
    found = distinct([rx.load("resnext50_32x4d"), rx.load("resnext101_32x4d"), rx.load("resnet50")])
    assert list(found) == grouped_layers(rx.load("resnext50_32x4d"))
    assert all(names == ["resnext50_32x4d", "resnext101_32x4d"] for names in found.values())


def test_the_floors_of_a_layer_are_its_bytes_and_flops() -> None:
    layer = Layer(128, 256, 32, (2, 2), 56, 56, 28, 28)
    assert layer.text() == "128 -> 256 in 32 groups at 56x56 /2"
    module = nn.Conv2d(128, 256, 3, stride=2, padding=1, groups=32, bias=False).bfloat16()
    x = torch.empty(3, 128, 56, 56, dtype=torch.bfloat16)
    with FlopCounterMode(display=False) as counter:
        result = module(x)
    assert layer.flops(3) == counter.get_total_flops()
    assert layer.bytes(3) == sum(one.nbytes for one in (x, result, module.weight))
    assert Floors(1e9, 1e12).seconds(10**6, 10**9) == (1e-3, 1e-3)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_directions_of_a_layer_are_those_of_autograd(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format, stride: int
) -> None:
    made: list[torch.Tensor] = []
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *shape, **more: made.append(randn(*shape, **more)) or made[-1])
    steps = _steps(CPU, Layer(8, 8, 4, (stride, stride), 6, 6, 6 // stride, 6 // stride), 2, layout)
    x, kernel, gradient_of_result = (one.float().requires_grad_() for one in made)
    result = nn.functional.conv2d(x, kernel, None, stride, 1, 1, 4)
    result.backward(gradient_of_result)
    taken = (steps["forward"](), steps["data gradient"]()[0], steps["weight gradient"]()[1])
    for found, expected in zip(taken, (result, x.grad, kernel.grad), strict=True):
        torch.testing.assert_close(found.float(), expected, rtol=2e-2, atol=1e-1)


def test_interleaved_rounds_begin_with_another_step_each_time() -> None:
    called: list[str] = []
    steps = {name: lambda name=name: called.append(name) for name in "abc"}
    taken = interleaved(steps, CPU, 3, 0.0, time.monotonic() + 60)
    assert {name: len(times) for name, times in taken.items()} == {"a": 3, "b": 3, "c": 3}
    turns = called[-18:]  # each turn is a call that does not count and one that does
    assert turns[::2] == list("abcbcacab")


def test_ratios_are_of_the_rounds() -> None:
    found = ratios({"base": [1.0, 2.0, 4.0], "other": [2.0, 3.0, 4.0]})
    assert found["base"] == (1.0, 1.0, 1.0)
    assert found["other"] == (1.5, 1.25, 1.75)
    assert spread([3.0]).text() == "3.000 (3.000 to 3.000)"


def test_differences_are_shares_of_the_largest_output() -> None:
    assert difference(torch.tensor([1.0, 4.5]), torch.tensor([1.0, 5.0])) == pytest.approx(0.1)
    assert difference(torch.tensor([float("nan")]), torch.tensor([1.0])) == float("inf")
    assert difference(torch.ones(2), torch.ones(3)) == float("inf")
    found = gradient_difference({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([3.0, 5.0])})
    assert found == pytest.approx(1 / 34**0.5)
    assert gradient_difference({}, {"w": torch.ones(1)}) == float("inf")


def test_settled_weights_have_the_statistics_of_one_batch(tmp_path: Path) -> None:
    run, _ = run_on(tmp_path)
    network = rx.load(str(tiny_spec(run)))
    state = settled(network, CPU)
    images = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    convolution = next(one for one in network.compile(seed=0).modules() if isinstance(one, nn.Conv2d))
    means = [value for name, value in state.items() if name.endswith("running_mean")]
    torch.testing.assert_close(means[0], convolution(images).detach().mean((0, 2, 3)))


def test_checkpointed_stages_give_the_same_gradients_and_run_twice(tmp_path: Path) -> None:
    run, _ = run_on(tmp_path)
    network = rx.load(str(tiny_spec(run)))
    images = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    found, calls = {}, {}
    for checkpoints in (False, True):
        model = network.compile(seed=0)
        count = checkpoint_stages(model) if checkpoints else 0
        calls[checkpoints] = 0
        next(one for one in model.modules() if isinstance(one, nn.Conv2d)).register_forward_hook(
            lambda *_, checkpoints=checkpoints: calls.__setitem__(checkpoints, calls[checkpoints] + 1)
        )
        model(images).sum().backward()
        found[checkpoints] = gradient(model)
        assert (count > 0) is checkpoints
    assert gradient_difference(found[True], found[False]) == 0
    assert calls == {False: 1, True: 2}


def test_the_layout_of_a_module_is_told_by_its_kernels() -> None:
    module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    assert layout_of(module) == "contiguous"
    assert layout_of(module.to(memory_format=torch.channels_last)) == "channels_last"
    module.append(nn.Conv2d(4, 4, 3))
    assert layout_of(module) == "mixed"


def test_the_peer_is_our_source_where_no_library_has_the_network(tmp_path: Path) -> None:
    run, _ = run_on(tmp_path)
    network = rx.load(str(tiny_spec(run)))
    state = settled(network, CPU)
    found = peer(network, state)
    assert found.library == SOURCE
    one, other = found.make(), found.make()
    images = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    ours = network.compile(mode="inference", weights=state)
    assert difference(one.eval()(images), ours(images)) < 1e-5
    assert next(one.parameters()) is not next(other.parameters())


def test_the_peer_of_a_library_is_named() -> None:
    network = rx.load("regnetx_032")
    assert peer(network, network.compile(seed=0).state_dict()).library == "timm"


def test_a_command_says_how_it_ended(tmp_path: Path) -> None:
    run, _ = run_on(tmp_path)
    wrong = resnext_dsl(run, "check", "resnet5")
    assert wrong.status == 2
    assert wrong.plain()
    assert wrong.said().startswith("resnet5: error[E505]: ")
    with pytest.raises(RuntimeError, match=r"^exit status 2: resnet5: error\[E505\]: "):
        wrong.answer()
    assert resnext_dsl(run, "check", "resnet18", "--json").answer()["ok"] is True
    assert not Outcome(1, "", "Traceback (most recent call last):\nerror[E1]: x").plain()


def test_a_command_that_takes_too_long_is_killed_and_left_out(tmp_path: Path) -> None:
    run, sent = run_on(tmp_path)
    run.ends = time.monotonic() + 1
    with run.item("a bench"):
        outcome = resnext_dsl(run, "bench", "resnet50", "--rounds", "1000")
        assert (outcome.status, outcome.late) == (None, True)
        outcome.answer()
    assert [(line["what"], line["state"], line["figure"]) for line in sent] == [
        ("a bench", "left out", "the time of this part is over")
    ]


def test_time_that_is_over_is_no_failure(tmp_path: Path) -> None:
    run, sent = run_on(tmp_path)
    with run.item("an item"):
        raise TimeOverError
    assert [(line["what"], line["state"]) for line in sent] == [("an item", "left out")]


def test_distances_are_shares_of_the_norm_of_all_outputs() -> None:
    assert distance(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx(0.2)
    one, other = (torch.tensor([3.0]), torch.tensor([4.0])), (torch.tensor([3.0]), torch.tensor([5.0]))
    assert distance(one, other) == pytest.approx(1 / 34**0.5)
    assert distance(torch.tensor([float("inf")]), torch.tensor([1.0])) == float("inf")
    assert distance(torch.ones(2), torch.ones(3)) == float("inf")


class Planted:
    """A network whose compiled modules have the filters of one 3x3 convolution in the wrong order."""

    def __init__(self, network: object) -> None:
        self._network = network

    def __getattr__(self, name: str) -> object:
        return getattr(self._network, name)

    def compile(self, **options: object) -> nn.Module:
        model = self._network.compile(**options)  # type: ignore[attr-defined]
        kernel = [one.weight for one in model.modules() if isinstance(one, nn.Conv2d) and one.kernel_size == (3, 3)][1]
        with torch.no_grad():
            kernel.copy_(kernel.roll(1, 0))
        return model


def planted(found: Oracle) -> Oracle:
    return found._replace(network=Planted(found.network))


def states(sent: list[dict]) -> list[str]:
    return [entry["state"] for entry in sent if entry["kind"] == "line"]


@pytest.mark.slow
@pytest.mark.usefixtures("_torchvision")
@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d"])
def test_the_oracle_of_layouts_finds_a_planted_error_in_every_type(tmp_path: Path, name: str) -> None:
    run, sent = run_on(tmp_path)
    found = oracle(run, name)
    assert found is not None
    assert found.library == "torchvision"
    layouts._batch(run, found, name, 2)
    assert states(sent) == ["left out"] * 3  # right; the CPU says nothing of a GPU
    sent.clear()
    layouts._batch(run, planted(found), name, 2)
    assert states(sent) == ["not ok"] * 3
    whats = [entry["what"] for entry in sent if entry["kind"] == "line"]
    assert whats == [f"{name}, batch 2, {title}" for title in ("float32", "float16", "bfloat16")]


@pytest.mark.usefixtures("_torchvision")
def test_the_oracle_of_tf32_finds_a_planted_error(tmp_path: Path) -> None:
    run, sent = run_on(tmp_path)
    found = oracle(run, "resnext50_32x4d")
    assert found is not None
    agreement._tf32(run, "resnext50_32x4d", found)
    agreement._tf32(run, "resnext50_32x4d", planted(found))
    agreement._tf32(run, "tiny", None)
    assert states(sent) == ["left out", "not ok", "left out"]
    assert sent[-1]["figure"] == "neither torchvision nor timm can be imported: there is no oracle"


@pytest.fixture
def _torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision as the tests import it."""
    monkeypatch.setattr("benchmarks.gpu.libraries.torchvision", references.torchvision, raising=False)


@pytest.mark.usefixtures("_torchvision")
def test_the_limit_of_an_oracle_is_a_factor_of_the_library_s_own_error(tmp_path: Path) -> None:
    run, _ = run_on(tmp_path)
    found = oracle(run, "resnet50")
    assert found is not None
    exact, theirs = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.1])
    apart = errors(found, torch.tensor([3.0, 4.15]), theirs, exact, torch.float16)
    assert apart.limit == pytest.approx(MARGIN * 0.02)
    assert apart.right
    assert apart.text() == "3.0e-02 from float64; torchvision 2.0e-02 (limit 6.0e-02)"
    assert not errors(found, torch.tensor([3.0, 4.4]), theirs, exact, torch.float16).right
    assert errors(found, exact, exact, exact, torch.float32).limit == 1e-6


def test_a_deep_network_is_held_against_the_error_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, sent = run_on(tmp_path)
    network = rx.load(str(tiny_spec(run)))
    state = settled(network, CPU)
    agreement._inference(run, network, state)
    monkeypatch.setattr(agreement, "FLOAT32", -1.0)  # every network is as far as a deep one
    agreement._inference(run, network, state)
    agreement._inference(run, Shifted(network), state)
    assert states(sent) == ["left out", "left out", "not ok"]


class Shifted(Planted):
    """A network whose second compiled module is off by a thousandth: the GPU's."""

    count = 0

    def compile(self, **options: object) -> nn.Module:
        model = self._network.compile(**options)  # type: ignore[attr-defined]
        self.count += 1
        if self.count == 2:
            with torch.no_grad():
                next(model.parameters()).mul_(1.001)
        return model


GPU_RUN = SimpleNamespace(dry=False)


def test_the_networks_of_the_tax_come_in_pairs_before_all_others() -> None:
    asked = [(case.name, case.mode, case.batch) for case in cases(GPU_RUN, DECISIVE)]  # type: ignore[arg-type]
    assert asked[:4] == [
        ("resnext101_32x4d", "train", 128),
        ("resnet101", "train", 128),
        ("resnext101_32x4d", "inference", 256),
        ("resnet101", "inference", 256),
    ]
    assert [name for name, *_ in asked[4:]] == ["regnetx_032", "regnety_032"] * 2
    assert [part.function.partition(":")[2] for part in COMMANDS["tax"][1:3]] == ["eager", "compiled"]


def test_a_network_without_groups_is_compiled_once() -> None:
    every = (BASE, *COMPILED)
    assert variants_of(Case("resnext101_32x4d", "train", 128), every) == every
    assert variants_of(Case("resnet101", "train", 128), every) == (BASE, COMPILED[0])
    assert variants_of(Case("resnet101", "train", 128), EAGER) == EAGER


def test_a_variant_that_the_time_does_not_reach_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, sent = run_on(tmp_path)
    run.ends = time.monotonic() + 5  # less than the rounds need
    monkeypatch.setattr("benchmarks.gpu.tax.networks._SUBJECTS", {})
    _all(run, [Case("tiny", "inference", 2)], (*EAGER, COMPILED[0]), needed=1.0)
    figures = [(line["what"], line["state"], line["figure"]) for line in sent if line["kind"] == "line"]
    assert figures == [
        ("tiny, inference, batch 2, peer, channels_last, torch.compile", "left out", "the time of this part is over"),
        ("tiny, inference, batch 2", "left out", "no GPU; the same steps ran on the CPU"),
    ]
    variants = [one["variant"] for one in sent if one["kind"] == "measurement"]
    assert variants == ["peer, channels_last", "peer, contiguous", "ours"]
