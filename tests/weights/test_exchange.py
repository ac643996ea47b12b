"""Layers that could be exchanged: names decide, or both candidates are listed; no output is silently wrong."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import references
import torch
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError, WeightsWarning
from resnext_dsl.weights import save
from resnext_dsl.weights.layer_map import read_map
from resnext_dsl.weights.name_words import path_of

IMAGE = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))


def filled(reference: nn.Module) -> nn.Module:
    references.fill(reference, seed=3)
    return reference.eval()


def in_order(state: Mapping[str, Tensor], order: str) -> dict[str, Tensor]:
    """The state_dict as a `.pth` file keeps it, or as a safetensors file sorts it."""
    return {key: state[key] for key in (sorted(state) if order == "sorted" else state)}


def compiled(text: str, weights: Any) -> tuple[nn.Module, list[Diagnostic]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        model = rx.loads(text).compile(weights=weights).eval()
    return model, [each.message.diagnostic for each in caught if isinstance(each.message, WeightsWarning)]


def by_size(output: Any) -> dict[int, Tensor]:
    """The outputs by their numbers of elements, which differ: libraries order outputs in their own ways."""
    return {part.numel(): part for part in ([output] if isinstance(output, Tensor) else output)}


def off(ours: nn.Module, reference: nn.Module, image: Tensor = IMAGE) -> float:
    """The largest difference of the outputs, as a share of the largest value."""
    with torch.no_grad():
        here, there = by_size(ours(image)), by_size(reference(image))
    assert here.keys() == there.keys()
    return max(float((here[size] - there[size]).abs().max() / there[size].abs().max()) for size in there)


# --- two paths that differ in dilation


class TwoPaths(nn.Module):
    """The sum of a plain convolution and of a dilated one, registered under two names."""

    def __init__(self, plain: str, dilated: str) -> None:
        super().__init__()
        self.names = plain, dilated
        self.add_module(plain, nn.Conv2d(8, 8, 3, padding=1, bias=False))
        self.add_module(dilated, nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return sum(self.get_submodule(name)(x) for name in self.names)


SPLIT = """network n {
    input image: 8x16x16
    stage s {
        split {
            path { %s }
            path { %s }
        } merge add
    }
}
"""
PLAIN, DILATED = "conv(8, 3x3)", "conv(8, 3x3, dilation=2)"


@pytest.mark.parametrize("order", ["pth", "sorted"])
@pytest.mark.parametrize("names", [("a", "b"), ("path1", "path2"), ("paths.0", "paths.1")])
@pytest.mark.parametrize("paths", [(PLAIN, DILATED), (DILATED, PLAIN)])
def test_paths_of_unlike_attributes_are_always_listed(
    paths: tuple[str, str], names: tuple[str, str], order: str
) -> None:
    reference = filled(TwoPaths(*(name.replace(".", "_") for name in names)))
    state = {key.replace("paths_", "paths."): value for key, value in reference.state_dict().items()}
    _, (warning,) = compiled(SPLIT % paths, in_order(state, order))
    assert (warning.code, warning.severity) == ("W911", "warning")
    assert warning.message == (
        f"`s.paths.0.conv` and `s.paths.1.conv` are interchangeable: `{names[0]}` and `{names[1]}` of the checkpoint fit "
        "each of them, and they differ in `dilation`"
    )
    dilations = ["1x1" if path == PLAIN else "2x2" for path in paths]
    assert [note.message for note in warning.notes] == [
        f"`s.paths.{number}.conv` takes `{name}` (dilation={dilation})"
        for number, (name, dilation) in enumerate(zip(names, dilations, strict=True))
    ]
    assert [note.span.line for note in warning.notes if note.span] == [5, 6]
    assert f"`--map {names[0]}=s.paths.0.conv`" in warning.hint


def test_strict_makes_it_an_error_and_a_map_decides() -> None:
    reference = filled(TwoPaths("path1", "path2"))
    text, state = SPLIT % (DILATED, PLAIN), reference.state_dict()
    with pytest.raises(WeightsError, match=r"W911.*are interchangeable") as caught:
        rx.loads(text).compile(weights=rx.Checkpoint(state, strict=True))
    assert caught.value.diagnostics[0].severity == "error"
    checkpoint = rx.Checkpoint(state, mapping={"path2": "s.paths.0", "path1": "s.paths.1"}, strict=True)
    model, listed = compiled(text, checkpoint)
    assert listed == []
    assert off(model, reference) == 0


def test_words_decide_between_paths_of_unlike_attributes() -> None:
    text = f"""
template narrow() {{ {PLAIN} }}
template dilated() {{ {DILATED} }}
network n {{ input image: 8x16x16; stage s {{ split {{ path {{ dilated }} path {{ narrow }} }} merge add }} }}
"""
    reference = filled(TwoPaths("narrow_conv", "dilated_conv"))
    for order in ("pth", "sorted"):
        model, listed = compiled(text, in_order(reference.state_dict(), order))
        assert (off(model, reference), listed) == (0, [])


# --- a cell that registers `now` before `prev` and runs `prev` first


class Cell(nn.Module):
    """Two values that meet: one of them is gated."""

    def __init__(self) -> None:
        super().__init__()
        self.now = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.conv_prev_1x1 = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        prev = self.conv_prev_1x1(x)
        return prev.sigmoid() * self.now(x)


NAMED = {
    "values": "conv(8, 1x1); bn; sigmoid as prev; use image; conv(8, 1x1); bn as now; mul(prev)",
    "templates": "split { path { prev } path { now } } merge mul",
}


@pytest.mark.parametrize("order", ["pth", "sorted"])
@pytest.mark.parametrize("case", ["values", "templates"])
def test_names_decide_between_branches(case: str, order: str) -> None:
    templates = "template prev() { conv(8, 1x1); bn; sigmoid }\ntemplate now() { conv(8, 1x1); bn }\n"
    before = templates if case == "templates" else ""
    text = f"{before}network n {{ input image: 8x16x16; stage s {{ {NAMED[case]} }} }}"
    reference = filled(Cell())
    model, listed = compiled(text, in_order(reference.state_dict(), order))
    assert listed == []
    assert off(model, reference) < 1e-6


@pytest.mark.parametrize("order", ["pth", "sorted"])
@pytest.mark.parametrize("names", [("one", "two"), ("left", "right")])
def test_branches_without_telling_names_are_listed(names: tuple[str, str], order: str) -> None:
    first, second = names
    body = f"conv(8, 1x1); bn; sigmoid as {first}; use image; conv(8, 1x1); bn as {second}; mul({first})"
    reference = filled(Cell())
    text = f"network n {{ input image: 8x16x16; stage s {{ {body} }} }}"
    _, listed = compiled(text, in_order(reference.state_dict(), order))
    assert [warning.code for warning in listed] == ["W911"]
    assert "`s.conv1` and `s.conv2` are interchangeable" in listed[0].message
    mapping = {"conv_prev_1x1.0": "s.conv1", "conv_prev_1x1.1": "s.bn1"}
    model, listed = compiled(text, rx.Checkpoint(in_order(reference.state_dict(), order), mapping=mapping))
    assert listed == []
    assert off(model, reference) < 1e-6


# --- torchvision's feature pyramid


class Pyramid(nn.Module):
    """A small backbone and torchvision's pyramid with two extra maps."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.c3 = nn.Conv2d(8, channels[0], 3, 2, 1, bias=False)
        self.c4 = nn.Conv2d(channels[0], channels[1], 3, 2, 1, bias=False)
        self.c5 = nn.Conv2d(channels[1], channels[2], 3, 2, 1, bias=False)
        self.fpn = FeaturePyramidNetwork(list(channels), 16, extra_blocks=LastLevelP6P7(16, 16))

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.c3(x)
        c4 = self.c4(c3)
        return list(self.fpn(OrderedDict(p3=c3, p4=c4, p5=self.c5(c4))).values())


def pyramid(channels: tuple[int, int, int], body: str, names: str) -> str:
    backbone = "".join(
        f"stage c{level} {{ conv({width}, 3x3, stride=2) }}\n" for level, width in zip((3, 4, 5), channels, strict=True)
    )
    outputs = "\n".join(f"output o{level} from {names}{level} {{ identity }}" for level in range(3, 8))
    return f"network n {{ input image: 8x64x64\n{backbone}{body.replace('NAME', names)}\n{outputs} }}"


BOTTOM_UP = """
stage lateral {
    use c3; conv(16, 1x1, bias=true) as l3
    use c4; conv(16, 1x1, bias=true) as l4
    use c5; conv(16, 1x1, bias=true) as i5
    upsample(2); add(l4) as i4
    upsample(2); add(l3) as i3
}
stage out {
    use i3; conv(16, 3x3, bias=true) as NAME3
    use i4; conv(16, 3x3, bias=true) as NAME4
    use i5; conv(16, 3x3, bias=true) as NAME5
    conv(16, 3x3, stride=2, bias=true) as NAME6; relu; conv(16, 3x3, stride=2, bias=true) as NAME7
}
"""
TOP_DOWN = (
    BOTTOM_UP.partition("stage out")[0]
    + """
stage out {
    use i5; conv(16, 3x3, bias=true) as NAME5
    use i4; conv(16, 3x3, bias=true) as NAME4
    use i3; conv(16, 3x3, bias=true) as NAME3
    use NAME5; conv(16, 3x3, stride=2, bias=true) as NAME6; relu; conv(16, 3x3, stride=2, bias=true) as NAME7
}
"""
)
INTERLEAVED = """
stage top {
    use c5; conv(16, 1x1, bias=true) as i5; conv(16, 3x3, bias=true) as NAME5
    use i5; upsample(2) as u5
    use c4; conv(16, 1x1, bias=true); add(u5) as i4; conv(16, 3x3, bias=true) as NAME4
    use i4; upsample(2) as u4
    use c3; conv(16, 1x1, bias=true); add(u4); conv(16, 3x3, bias=true) as NAME3
    use NAME5; conv(16, 3x3, stride=2, bias=true) as NAME6; relu; conv(16, 3x3, stride=2, bias=true) as NAME7
}
"""


@pytest.mark.parametrize("order", ["pth", "sorted"])
@pytest.mark.parametrize("body", [BOTTOM_UP, TOP_DOWN], ids=["bottom-up", "top-down"])
@pytest.mark.parametrize("channels", [(8, 12, 16), (16, 16, 16)])
@pytest.mark.parametrize("names", ["p", "m"])
def test_a_pyramid_is_right_or_listed(channels: tuple[int, int, int], body: str, order: str, names: str) -> None:
    reference = filled(Pyramid(channels))
    text = pyramid(channels, body, names)
    image = torch.randn(1, 8, 128, 128, generator=torch.Generator().manual_seed(1))
    model, listed = compiled(text, in_order(reference.state_dict(), order))
    assert {warning.code for warning in listed} == {"W911"}
    if body is BOTTOM_UP and (order == "pth" or names == "p"):
        assert off(model, reference, image) < 1e-5


def test_a_map_settles_a_pyramid() -> None:
    """This pyramid runs its layers in another order than torchvision's registers them, as shapes alone show."""
    channels = (8, 12, 16)
    reference = filled(Pyramid(channels))
    with pytest.raises(WeightsError, match="the same layers, in another order"):
        compiled(pyramid(channels, INTERLEAVED, "p"), reference.state_dict())
    mapping = {f"fpn.inner_blocks.{level}.0": f"top.conv{5 - 2 * level}" for level in range(3)}
    mapping |= {f"fpn.layer_blocks.{level}.0": f"top.conv{6 - 2 * level}" for level in range(3)}
    mapping |= {"fpn.extra_blocks.p6": "top.conv7", "fpn.extra_blocks.p7": "top.conv8"}
    image = torch.randn(1, 8, 128, 128, generator=torch.Generator().manual_seed(1))
    for order in ("pth", "sorted"):
        state = in_order(reference.state_dict(), order)
        model, listed = compiled(pyramid(channels, INTERLEAVED, "p"), rx.Checkpoint(state, mapping=mapping))
        assert listed == []
        assert off(model, reference, image) < 1e-5


# --- numbers


class Blocks(nn.Module):
    """Equal blocks in a row."""

    def __init__(self, names: list[str], dilations: list[int]) -> None:
        super().__init__()
        self.names = names
        for name, dilation in zip(names, dilations, strict=True):
            conv = nn.Conv2d(8, 8, 3, padding=dilation, dilation=dilation, bias=False)
            self.add_module(name, nn.Sequential(conv, nn.BatchNorm2d(8), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


def test_numbers_count_by_value(tmp_path: Path) -> None:
    """`block10` is not the third of twelve blocks in a file whose keys are sorted."""
    reference = filled(Blocks([f"block{number}" for number in range(12)], [1] * 12))
    save(tmp_path / "w.safetensors", reference.state_dict())
    text = "network n { input image: 8x16x16; stage s repeat 12 { conv(8, 3x3); bn; relu } }"
    model, listed = compiled(text, tmp_path / "w.safetensors")
    assert listed == []
    assert off(model, reference) < 1e-6


LAYERS = "; ".join(f"conv(8, 3x3, dilation={dilation}); bn; relu" for dilation in (1, 2, 3))
CHAIN = f"network n {{ input image: 8x16x16; stage s {{ {LAYERS} }} }}"


@pytest.mark.parametrize("order", ["pth", "sorted"])
def test_numbers_decide_in_a_chain(order: str) -> None:
    reference = filled(Blocks(["conv1", "conv2", "conv3"], [1, 2, 3]))
    model, listed = compiled(CHAIN, in_order(reference.state_dict(), order))
    assert listed == []
    assert off(model, reference) < 1e-6


@pytest.mark.parametrize("order", ["pth", "sorted"])
def test_a_chain_of_unlike_layers_by_order_alone_is_listed(order: str) -> None:
    reference = filled(Blocks(["second", "first", "third"], [1, 2, 3]))
    _, (warning,) = compiled(CHAIN, in_order(reference.state_dict(), order))
    assert warning.code == "W911"
    names = "`second`, `first` and `third`" if order == "pth" else "`first`, `second` and `third`"
    assert warning.message == (
        f"`s.conv1`, `s.conv2` and `s.conv3` are interchangeable: {names.replace('`,', '.0`,').replace('` ', '.0` ')[:-1]}.0` "
        "of the checkpoint fit each of them, and they differ in `dilation`"
    )


def test_a_chain_of_equal_layers_keeps_the_order_of_a_file_that_has_one() -> None:
    reference = filled(Blocks(["entry", "middle", "exit"], [1, 1, 1]))
    text = CHAIN.replace("dilation=2", "dilation=1").replace("dilation=3", "dilation=1")
    model, listed = compiled(text, reference.state_dict())
    assert (off(model, reference) < 1e-6, listed) == (True, [])
    _, listed = compiled(text, in_order(reference.state_dict(), "sorted"))
    assert [warning.code for warning in listed] == ["W911"]


# --- the map


@pytest.mark.parametrize(
    ("mapping", "message", "hint"),
    [
        (
            {"path3": "s.paths.0"},
            "the map names `path3`, and the checkpoint has no such layer",
            "did you mean `path1`?",
        ),
        ({"path1": "s.path.0"}, "the map names `s.path.0`, and the network has no such layer", "did you mean"),
        (
            {"path1": "s.paths.0", "path1.weight": "s.paths.1.conv.weight"},
            "`path1` of the checkpoint is mapped twice",
            "",
        ),
    ],
)
def test_a_map_that_names_no_layer(mapping: dict[str, str], message: str, hint: str) -> None:
    state = TwoPaths("path1", "path2").state_dict()
    with pytest.raises(WeightsError) as caught:
        rx.loads(SPLIT % (PLAIN, DILATED)).compile(weights=rx.Checkpoint(state, mapping=mapping))
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E707", message)
    assert diagnostic.hint.startswith(hint)


def test_the_lines_of_a_map() -> None:
    lines = ["# all of it", "", "branch1.0 = conv3.paths.1  # the dilated one", "branch2=conv3.paths.0"]
    assert read_map(lines, "names.map") == {"branch1.0": "conv3.paths.1", "branch2": "conv3.paths.0"}


@pytest.mark.parametrize(
    ("lines", "message", "line"),
    [
        (["a = x", "a = y"], "`a` is mapped twice", 2),
        (["a = x", "", "b = x"], "`x` is mapped twice", 3),
        (["a = x", "b"], "`b` is not THEIRS=OURS", 2),
        (["= x"], "`= x` is not THEIRS=OURS", 1),
        (["a ="], "`a =` is not THEIRS=OURS", 1),
    ],
)
def test_a_wrong_line_of_a_map(lines: list[str], message: str, line: int) -> None:
    with pytest.raises(WeightsError) as caught:
        read_map(lines, "names.map")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.file) == ("E707", message, f"names.map:{line}")


def test_sets_beyond_those_that_have_a_warning_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnext_dsl.weights.interchangeable.MAX_SETS", 1)
    stages = "".join(
        f"stage {name} {{ split {{ path {{ {PLAIN} }}; path {{ {DILATED} }} }} merge add }}\n" for name in "stu"
    )
    state = {f"{stage}.{path}.weight": torch.randn(8, 8, 3, 3) for stage in "stu" for path in ("left", "right")}
    _, listed = compiled(f"network n {{ input image: 8x16x16\n{stages}}}", state)
    assert [(each.code, each.severity) for each in listed] == [("W911", "warning")] * 2
    assert listed[1].message == "2 more sets of layers could be exchanged"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("mixed.branch7x7_2.conv", ("mixed", "branch7x7", "2", "conv")),
        ("_fc.weight", ("fc", "weight")),
        ("a..b__c.", ("a", "b", "c")),
        ("", ()),
    ],
)
def test_the_parts_of_a_name_have_letters(name: str, parts: tuple[str, ...]) -> None:
    assert path_of(name) == parts
