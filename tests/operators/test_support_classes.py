"""The classes that emitted files carry: what they compute, and that torch can trace, export and compile them."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operator_cases import build, namespace
from references import timm
from torch import nn

from resnext_dsl.operators import OPERATORS, Shape, validate

MAP: Shape = (6, 5, 4)


def made(name: str, shape: Shape = MAP, **arguments: object) -> nn.Module:
    name = name.strip()
    return build(name, validate(OPERATORS[name], arguments), (shape,))


MODULES: dict[str, dict[str, object]] = {
    "layernorm": {},
    "drop_path": {"p": 0.25},
    "layer_scale": {"init": 0.5},
    "affine": {"init": 0.5, "offset": 0.25},
    "shuffle": {"groups": 3},
    "channel_conv": {"kernel": 3},
    "grn": {"eps": 0.01},
    "lrn": {"size": 3},
    "softmax": {"across": 3},
    "upsample": {"mode": "bilinear"},
    "fixed_conv": {"kernel": [[1, 0, -1], [2, 0, -2]], "mode": "replicate"},
    "blur_pool": {"kernel": 3},
    "conv": {"channels": 8, "kernel": (3, 2), "stride": 2, "padding": "same_upper"},
    "conv ": {"channels": 8, "kernel": 3, "padding": "same_upper", "stride": 2, "standardize": "scaled", "gamma": 1.5},
    "maxpool": {"kernel": 2, "stride": 3, "padding": "same_upper"},
    "avgpool": {"kernel": 3, "stride": 2, "padding": "same_upper", "count_include_pad": False},
}
"""Operator -> arguments; a name with a space stands for other arguments of the same operator."""

MODES = [*((name, False) for name in MODULES), ("drop_path", True)]
"""Modules in eval mode, and in training mode the one that computes something else there."""


def test_affine_multiplies_and_adds_as_the_block_of_hgnet() -> None:
    theirs = timm.models.hgnet.LearnableAffineBlock(0.5, -2.0)
    ours = made("affine", init=0.5, offset=-2.0)
    assert [parameter.item() for parameter in ours.parameters()] == [0.5, -2.0]
    ours.load_state_dict({"scale": theirs.scale.detach() * 3, "bias": theirs.bias.detach() + 1})
    x = torch.randn(2, *MAP)
    torch.testing.assert_close(ours(x), theirs(x) * 3 + 5)


def test_layer_norm_is_that_of_the_channels_at_each_position() -> None:
    module = made("layernorm", eps=1e-6)
    with torch.no_grad():
        module.get_parameter("weight").normal_()
        module.get_parameter("bias").normal_()
    x = torch.randn(2, *MAP)
    plain = nn.LayerNorm(6, eps=1e-6)
    plain.load_state_dict(module.state_dict())
    expected = torch.stack([plain(x[..., row, column]) for row in range(5) for column in range(4)], -1).view_as(x)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("shape", [MAP, (6,)])
def test_layer_scale_multiplies_channels(shape: Shape) -> None:
    module = made("layer_scale", shape)
    assert [name for name, _ in module.named_parameters()] == ["gamma"]
    with torch.no_grad():
        module.get_parameter("gamma").copy_(torch.arange(6.0))
    x = torch.randn(3, *shape)
    for channel in range(6):
        torch.testing.assert_close(module(x)[:, channel], channel * x[:, channel])


@pytest.mark.parametrize("shape", [MAP, (6,)])
def test_softmax_across_parts_weights_the_same_channel_of_all_parts(shape: Shape) -> None:
    x = torch.randn(2, *shape)
    result = made("softmax", shape, across=3)(x)
    for channel in range(2):
        torch.testing.assert_close(result[:, channel::2], x[:, channel::2].softmax(1))
    torch.testing.assert_close(made("softmax", shape, across=6)(x), made("softmax", shape)(x))
    assert torch.equal(made("softmax", shape, across=1)(x), torch.ones_like(x))


def test_shuffle_keeps_units_together() -> None:
    x = torch.randn(2, 12, 5, 4)
    result = made("shuffle", (12, 5, 4), groups=3, unit=2)(x)
    assert torch.equal(result, x[:, [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]])
    assert torch.equal(made("shuffle", (12, 5, 4), groups=3, unit=4)(x), x)


@pytest.mark.parametrize("shape", [MAP, (6,)])
def test_drop_path_keeps_or_drops_whole_samples(shape: Shape) -> None:
    torch.manual_seed(0)
    module = made("drop_path", shape, p=0.25)
    x = torch.rand(4000, *shape) + 1
    assert torch.equal(module(x), x)
    ratio = (module.train()(x) / x).flatten(1)
    torch.testing.assert_close(ratio.amax(1), ratio.amin(1))
    kept = ratio[:, 0] > 0
    torch.testing.assert_close(ratio[kept], torch.full_like(ratio[kept], 1 / 0.75))
    assert abs(kept.float().mean().item() - 0.75) < 0.03


def test_the_others_compute_the_same_in_both_modes() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, *MAP)
    for name, arguments in MODULES.items():
        module = made(name, **arguments)
        assert torch.equal(module.eval()(x), module.train()(x)) is ((name, True) not in MODES), name


@pytest.mark.parametrize(("name", "training"), MODES)
def test_torch_takes_them(name: str, training: bool) -> None:
    module = made(name, MAP, **MODULES[name]).train(training)
    x, larger = torch.randn(2, *MAP), torch.randn(5, *MAP)
    expected = module(larger).shape
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; `lrn` of torch asks for the size of its input
        traced = torch.jit.trace(module, x, check_trace=False)  # type: ignore[no-untyped-call]
    forms = {
        "jit": traced,
        "fx": torch.fx.symbolic_trace(module),
        "export": torch.export.export(module, (x,), dynamic_shapes=({0: batch},)).module(),
        "compile": torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager"),
        "copy": copy.deepcopy(module),
    }
    for form, taken in forms.items():
        assert taken(larger).shape == expected, form
        if not (training and name == "drop_path"):
            torch.testing.assert_close(taken(larger), module(larger), msg=form)
    assert copy.deepcopy(module).to("meta")(larger.to("meta")).shape == expected
    last = larger.to(memory_format=torch.channels_last)
    if name != "softmax":  # a gate has the size 1x1, and so both formats
        assert module(last).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", MODULES)
def test_they_can_be_differentiated_and_autocast(name: str) -> None:
    module = made(name, MAP, **MODULES[name]).train()
    x = torch.randn(2, *MAP, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        module(x).float().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(one.grad is not None for one in module.parameters())


WINDOWS = st.tuples(*(st.tuples(st.integers(1, 5), st.integers(1, 5)) for _ in range(3)))
"""Kernel, stride and dilation."""


@given(size=st.tuples(st.integers(1, 12), st.integers(1, 12)), window=WINDOWS)
def test_convolutions_and_poolings_pad_as_those_of_timm_whatever_the_size(
    size: tuple[int, int], window: tuple[tuple[int, int], ...]
) -> None:
    """The modules are made for the size of `MAP`, and run at another size."""
    kernel, stride, dilation = window
    x = torch.randn(2, 6, *size)
    same = {"kernel": kernel, "stride": stride, "padding": "same_upper"}
    conv = made("conv", channels=4, groups=2, bias=True, dilation=dilation, **same)
    theirs = timm.layers.Conv2dSame(6, 4, kernel, stride, dilation=dilation, groups=2)
    theirs.load_state_dict(conv.state_dict())
    assert isinstance(conv, nn.Conv2d)
    torch.testing.assert_close(conv(x), theirs(x))
    pool = made("maxpool", dilation=dilation, **same)
    torch.testing.assert_close(pool(x), timm.layers.pool2d_same.MaxPool2dSame(kernel, stride, dilation=dilation)(x))
    torch.testing.assert_close(made("avgpool", **same)(x), timm.layers.AvgPool2dSame(kernel, stride)(x))
    means = made("avgpool", count_include_pad=False, **same)(x)
    weights = torch.ones_like(x)
    torch.testing.assert_close(
        means, timm.layers.AvgPool2dSame(kernel, stride)(x) / timm.layers.AvgPool2dSame(kernel, stride)(weights)
    )
    assert means.shape[2:] == OPERATORS["avgpool"].shape(validate(OPERATORS["avgpool"], same), ((6, *size),))[1:]


@given(size=st.tuples(st.integers(3, 12), st.integers(3, 12)), window=WINDOWS, bias=st.booleans())
def test_standardized_convolutions_compute_as_those_of_timm(
    size: tuple[int, int], window: tuple[tuple[int, int], ...], bias: bool
) -> None:
    kernel, stride, _ = window
    x = torch.randn(2, 6, *size)
    layers = timm.layers
    for padding, plain, scaled in (
        ("same_upper", layers.StdConv2dSame, layers.ScaledStdConv2dSame),
        (1, layers.StdConv2d, layers.ScaledStdConv2d),
    ):
        if padding == 1 and any(side > length + 2 for side, length in zip(kernel, size, strict=True)):
            continue
        their_padding = "same" if padding == "same_upper" else padding
        shared = {"stride": stride, "padding": their_padding, "groups": 2, "bias": bias, "eps": 0.01}
        for standardize, theirs in (
            (True, plain(6, 4, kernel, **shared)),
            ("scaled", scaled(6, 4, kernel, gamma=1.5, **shared)),
        ):
            chosen = {"standardize": standardize} | ({"gamma": 1.5} if standardize == "scaled" else {})
            chosen |= {"stride": stride, "padding": padding, "groups": 2, "bias": bias, "eps": 0.01}
            ours = build(
                "conv", validate(OPERATORS["conv"], {"channels": 4, "kernel": kernel} | chosen), ((6, 16, 16),)
            )
            with torch.no_grad():
                for parameter in theirs.parameters():
                    parameter.normal_()
            ours.load_state_dict(theirs.state_dict())
            assert isinstance(ours, nn.Conv2d)
            torch.testing.assert_close(ours.train()(x), theirs(x))
            torch.testing.assert_close(ours.eval()(x), theirs(x))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_blur_pools_compute_as_those_of_timm(mode: str, side: int, stride: int) -> None:
    ours = made("blur_pool", kernel=side, stride=stride, mode=mode)
    theirs = timm.layers.BlurPool2d(6, side, stride, mode)
    x = torch.randn(2, 6, 8, 7)
    assert torch.equal(ours(x), theirs(x))
    assert ours.state_dict() == theirs.state_dict() == {}
    assert [tuple(one.shape) for one in ours.buffers()] == [tuple(one.shape) for one in theirs.buffers()]


def test_a_fixed_kernel_is_applied_to_each_channel() -> None:
    rows = [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]
    module = made("fixed_conv", kernel=rows)
    x = torch.randn(2, *MAP)
    weight = torch.tensor(rows).expand(6, 1, 3, 3)
    torch.testing.assert_close(module(x), nn.functional.conv2d(x, weight, padding=1, groups=6))
    moved: Any = copy.deepcopy(module).to("meta").to_empty(device="cpu")
    moved.reset_parameters()
    assert torch.equal(moved(x), module(x))


@pytest.mark.parametrize("name", ["conv", "maxpool", "avgpool"])
def test_torch_exports_padding_for_images_of_any_size(name: str) -> None:
    chosen = MODULES[name] | ({"kernel": 5, "stride": 2, "dilation": 2} if name == "maxpool" else {})
    module = made(name, **chosen)
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=4), 3: torch.export.Dim("width", min=4)}
    program = torch.export.export(module, (torch.randn(2, 6, 9, 8),), dynamic_shapes=(sizes,))
    for height, width in ((9, 8), (4, 5), (10, 12)):
        x = torch.randn(3, 6, height, width)
        torch.testing.assert_close(program.module()(x), module(x))


def test_a_default_device_reaches_their_parameters() -> None:
    with torch.device("meta"):
        assert namespace()["LayerScale"](4).gamma.is_meta
        assert namespace()["LayerNorm2d"](4).weight.is_meta
