"""The table as a whole: every row is complete, and sources read as one would write them by hand."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import pytest
import torch
from operator_cases import CASES, namespace, source_text

from resnext_dsl.emit.text.helper_classes import SUPPORT
from resnext_dsl.operators import OPERATORS, SYMBOLS, Shape, arguments_of, validate
from resnext_dsl.operators.models import model_of
from resnext_dsl.operators.reference import meanings_of

KINDS = {
    "convolution",
    "linear",
    "normalization",
    "activation",
    "pooling",
    "merge",
    "regularization",
    "scaling",
    "shape",
}


@pytest.mark.parametrize("name", OPERATORS)
def test_a_row_is_complete(name: str) -> None:
    row = OPERATORS[name]
    assert row.name == name
    assert row.kind in KINDS
    assert row.summary.endswith(".")
    assert "\n" not in row.summary
    assert model_of(row.attributes).model_config["frozen"]
    assert model_of(row.attributes).model_config["extra"] == "forbid"
    assert row.attributes.__doc__
    for rule in (row.shape, row.source, row.parameters):
        assert callable(rule)
    assert row.inputs in ((1, 1), (1, 2), (1, None))
    assert set(meanings_of(row.attributes)) == set(row.attributes.fields), "an argument without a meaning"
    assert bool(row.fvcore) is (row.flops is not None), "fvcore has a name for each operator that it counts"
    assert not (row.commutes or row.pairwise) or row.merges
    assert row.multiplies is (row.kind in ("convolution", "linear"))
    assert row.multiplies is (row.layer or row.algebra.weight is not None)
    if row.algebra.weight is not None:
        assert {row.algebra.weight.width, "bias"} <= set(row.attributes.fields)
    assert name in CASES, "no case to test it with"


def test_required_arguments_come_first() -> None:
    for row in OPERATORS.values():
        required = [argument.required for argument in arguments_of(row.attributes)]
        assert required == sorted(required, reverse=True), row.name


def test_symbols_are_the_option_words() -> None:
    words = {"bilinear", "constant", "global", "nearest", "none", "reflect", "replicate", "scaled", "tanh"}
    assert words | {"same", "same_upper", "valid"} == SYMBOLS


def test_attributes_survive_pickling_and_are_hashable() -> None:
    conv = validate(OPERATORS["conv"], {"channels": 64, "kernel": [3, 1]})
    assert pickle.loads(pickle.dumps(conv)) == conv
    assert hash(conv) == hash(validate(OPERATORS["conv"], {"channels": 64, "kernel": (3, 1), "stride": 1}))


def test_the_table_imports_no_torch() -> None:
    code = "import sys, resnext_dsl.operators; sys.exit('torch' in sys.modules or 'networkx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


MAP, FEATURES = (64, 56, 56), (512,)

SOURCES: list[tuple[str, dict[str, object], tuple[Shape, ...], str]] = [
    ("conv", {"channels": 128, "kernel": 1}, (MAP,), "nn.Conv2d(64, 128, 1, bias=False)"),
    (
        "conv",
        {"channels": 128, "kernel": (3, 3), "stride": 2},
        (MAP,),
        "nn.Conv2d(64, 128, 3, stride=2, padding=1, bias=False)",
    ),
    (
        "conv",
        {"channels": 64, "kernel": (1, 7), "groups": 64, "bias": True, "dilation": 2},
        (MAP,),
        "nn.Conv2d(64, 64, (1, 7), padding=(0, 6), dilation=2, groups=64)",
    ),
    ("conv", {"channels": 8, "kernel": 3, "padding": "valid"}, (MAP,), "nn.Conv2d(64, 8, 3, bias=False)"),
    (
        "conv",
        {"channels": 8, "kernel": 3, "padding": "same_upper", "dilation": 2},
        (MAP,),
        "nn.Conv2d(64, 8, 3, padding=2, dilation=2, bias=False)",
    ),
    (
        "conv",
        {"channels": 8, "kernel": (1, 3), "padding": "same_upper", "stride": 2},
        (MAP,),
        "Conv2dSame(64, 8, (1, 3), stride=2, bias=False)",
    ),
    (
        "conv",
        {"channels": 8, "kernel": 3, "standardize": True, "eps": 1e-8},
        (MAP,),
        "StandardizedConv2d(64, 8, 3, padding=1, bias=False, eps=1e-08)",
    ),
    (
        "conv",
        {"channels": 8, "kernel": 3, "stride": 2, "padding": "same_upper", "standardize": "scaled", "gain": 0.0},
        (MAP,),
        "StandardizedConv2d(64, 8, 3, stride=2, bias=False, same_upper=True, gamma=1.0, gain=0.0)",
    ),
    ("conv", {"channels": 8, "kernel": 2, "padding": "same_upper"}, (MAP,), "Conv2dSame(64, 8, 2, bias=False)"),
    (
        "conv",
        {"channels": 8, "kernel": 1, "padding": "same_upper", "stride": 2},
        (MAP,),
        "nn.Conv2d(64, 8, 1, stride=2, bias=False)",
    ),
    (
        "conv_transpose",
        {"channels": 32, "kernel": 2, "stride": 2, "bias": True},
        (MAP,),
        "nn.ConvTranspose2d(64, 32, 2, stride=2)",
    ),
    (
        "fixed_conv",
        {"kernel": [[1, 0, -1], [2, 0, -2]], "stride": 2, "padding": "valid"},
        (MAP,),
        "FixedConv2d(64, ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0)), stride=2)",
    ),
    ("blur_pool", {"kernel": 3}, (MAP,), "BlurPool2d(64, 3, stride=2, padding=1, mode='reflect')"),
    ("blur_pool", {"kernel": 1, "stride": 1}, (MAP,), "BlurPool2d(64, 1)"),
    ("channel_conv", {"kernel": 5}, ((64, 1, 1),), "ChannelConv(5)"),
    ("linear", {"features": 1000}, (FEATURES,), "nn.Linear(512, 1000)"),
    ("linear", {"features": 10, "bias": False}, (FEATURES,), "nn.Linear(512, 10, bias=False)"),
    ("bn", {}, (MAP,), "nn.BatchNorm2d(64)"),
    ("bn", {"eps": 1e-3, "momentum": 0.01}, (FEATURES,), "nn.BatchNorm1d(512, eps=0.001, momentum=0.01)"),
    ("layernorm", {"eps": 1e-6}, (MAP,), "LayerNorm2d(64, eps=1e-06)"),
    ("layernorm", {"affine": False}, (FEATURES,), "nn.LayerNorm(512, elementwise_affine=False)"),
    ("groupnorm", {"groups": 32}, (MAP,), "nn.GroupNorm(32, 64)"),
    ("instancenorm", {"affine": True}, (MAP,), "nn.InstanceNorm2d(64, affine=True)"),
    ("grn", {}, (MAP,), "GlobalResponseNorm(64)"),
    ("grn", {"eps": 1e-5}, (MAP,), "GlobalResponseNorm(64, eps=1e-05)"),
    ("lrn", {"size": 5, "k": 2}, (MAP,), "nn.LocalResponseNorm(5, k=2.0)"),
    ("relu", {}, (MAP,), "nn.ReLU()"),
    ("leaky_relu", {"slope": 0.2}, (MAP,), "nn.LeakyReLU(negative_slope=0.2)"),
    ("prelu", {"per_channel": True}, (MAP,), "nn.PReLU(64)"),
    ("gelu", {"approximate": "tanh"}, (MAP,), "nn.GELU(approximate='tanh')"),
    ("softmax", {}, (FEATURES,), "nn.Softmax(dim=1)"),
    ("softmax", {"across": 2}, (MAP,), "PartSoftmax(2)"),
    ("maxpool", {"kernel": 3, "stride": 2}, (MAP,), "nn.MaxPool2d(3, stride=2, padding=1)"),
    ("maxpool", {"kernel": 2}, (MAP,), "nn.MaxPool2d(2)"),
    ("maxpool", {"kernel": 3, "stride": 2, "padding": "same_upper"}, (MAP,), "MaxPool2dSame(3, stride=2)"),
    ("maxpool", {"kernel": 2, "padding": "same_upper"}, (MAP,), "MaxPool2dSame(2)"),
    ("maxpool", {"kernel": 3, "stride": 1, "padding": "same_upper"}, (MAP,), "nn.MaxPool2d(3, stride=1, padding=1)"),
    (
        "maxpool",
        {"kernel": 3, "stride": 1, "padding": "same_upper", "dilation": 2},
        (MAP,),
        "MaxPool2dSame(3, stride=1, dilation=2)",
    ),
    (
        "avgpool",
        {"kernel": 3, "stride": 2, "padding": "same_upper", "count_include_pad": False},
        (MAP,),
        "AvgPool2dSame(3, stride=2, count_include_pad=False)",
    ),
    ("avgpool", {"kernel": 3, "stride": 1, "padding": "same_upper"}, (MAP,), "nn.AvgPool2d(3, stride=1, padding=1)"),
    ("maxpool", {"kernel": "global"}, (MAP,), "nn.AdaptiveMaxPool2d(1)"),
    ("avgpool", {"kernel": "global"}, (MAP,), "nn.AdaptiveAvgPool2d(1)"),
    (
        "avgpool",
        {"kernel": 3, "stride": 1, "count_include_pad": False, "ceil": True},
        (MAP,),
        "nn.AvgPool2d(3, stride=1, padding=1, ceil_mode=True, count_include_pad=False)",
    ),
    ("adaptive_avgpool", {"size": (7, 7)}, (MAP,), "nn.AdaptiveAvgPool2d(7)"),
    ("dropout", {}, (FEATURES,), "nn.Dropout(0.5)"),
    ("drop_path", {"p": 0.1}, (MAP,), "DropPath(0.1)"),
    ("drop_path", {"p": 0.1}, (FEATURES,), "DropPath(0.1, dimensions=1)"),
    ("layer_scale", {}, (MAP,), "LayerScale(64, 1e-06)"),
    ("layer_scale", {"per_channel": False}, (MAP,), "LayerScale(1, 1e-06)"),
    ("affine", {}, (MAP,), "Affine()"),
    ("affine", {"init": 0.5, "offset": -1}, ((64,),), "Affine(init=0.5, offset=-1.0)"),
    ("flatten", {}, (MAP,), "nn.Flatten()"),
    ("upsample", {"scale": 2}, (MAP,), "nn.Upsample(scale_factor=2)"),
    ("upsample", {"mode": "bilinear"}, (MAP,), "nn.Upsample(scale_factor=2, mode='bilinear')"),
    (
        "upsample",
        {"mode": "bilinear", "align_corners": True},
        (MAP,),
        "nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)",
    ),
    ("shuffle", {"groups": 2}, (MAP,), "nn.ChannelShuffle(2)"),
    ("shuffle", {"groups": 2, "unit": 4}, (MAP,), "UnitShuffle(2, 4)"),
    ("pixel_shuffle", {"factor": 2}, (MAP,), "nn.PixelShuffle(2)"),
    ("slice", {"start": 0, "stop": 32}, (MAP,), "x0[:, 0:32]"),
    ("subsample", {"stride": 2}, (MAP,), "x0[:, :, ::2, ::2]"),
    ("pad_channels", {"channels": 128}, (MAP,), "F.pad(x0, (0, 0, 0, 0, 0, 64))"),
    ("pad_channels", {"channels": 513}, (FEATURES,), "F.pad(x0, (0, 1))"),
    ("pad_same", {"kernel": 5, "stride": 2}, (MAP,), "F.pad(x0, (1, 2, 1, 2))"),
    ("pad", {"top": 1, "left": -2}, (MAP,), "F.pad(x0, (-2, 0, 1, 0))"),
    ("pad", {"right": 3, "value": -1}, (MAP,), "F.pad(x0, (0, 3, 0, 0), value=-1.0)"),
    ("pad", {"bottom": 2, "mode": "reflect"}, (MAP,), "F.pad(x0, (0, 0, 0, 2), mode='reflect')"),
    ("crop", {"size": 5}, ((8, 8, 7),), "CenterCrop((5, 5))"),
    ("crop", {}, ((8, 8, 7), (3, 8, 2)), "CenterCrop()"),
    ("resize", {"size": (9, 5)}, (MAP,), "F.interpolate(x0, size=(9, 5))"),
    ("resize", {}, (MAP, (3, 7, 5)), "F.interpolate(x0, size=x1.shape[-2:])"),
    (
        "resize",
        {"mode": "bilinear", "align_corners": True},
        (MAP, (3, 7, 5)),
        "F.interpolate(x0, size=x1.shape[-2:], mode='bilinear', align_corners=True)",
    ),
    ("pixel_unshuffle", {"factor": 2}, (MAP,), "nn.PixelUnshuffle(2)"),
    ("scale", {"factor": 0.17}, (MAP,), "x0 * 0.17"),
    ("add", {}, (MAP,), "x0"),
    ("add", {}, (MAP, MAP, MAP), "x0 + x1 + x2"),
    ("concat", {}, (MAP, MAP), "torch.cat([x0, x1], 1)"),
    ("mul", {}, (MAP, (64, 1, 1)), "x0 * x1"),
    ("maximum", {}, (MAP, MAP), "torch.maximum(x0, x1)"),
    ("maximum", {}, (MAP, MAP, MAP), "torch.stack([x0, x1, x2]).amax(0)"),
    ("mean", {}, (MAP, MAP), "(x0 + x1) / 2"),
]


@pytest.mark.parametrize(("name", "arguments", "shapes", "text"), SOURCES, ids=[case[3] for case in SOURCES])
def test_sources_are_minimal(name: str, arguments: dict[str, object], shapes: tuple[Shape, ...], text: str) -> None:
    operator = OPERATORS[name]
    attributes = validate(operator, arguments)
    operator.shape(attributes, shapes)
    assert source_text(operator, attributes, shapes) == text


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.inplace])
def test_modules_that_can_work_in_place_do(name: str) -> None:
    attributes = validate(OPERATORS[name], {})
    text = source_text(OPERATORS[name], attributes, (MAP,))
    module = eval(f"{text[:-1]}{'' if text.endswith('()') else ', '}inplace=True)", namespace())
    x = torch.randn(2, *MAP)
    torch.manual_seed(0)
    expected = eval(text, namespace())(x)
    torch.manual_seed(0)
    result = module(x)
    assert result is x
    torch.testing.assert_close(result, expected)


def test_support_classes_stand_alone() -> None:
    for name, text in SUPPORT.items():
        assert re.match(rf"class {name}\((nn\.\w+|{'|'.join(SUPPORT)})\):|def {name}\(", text)
        assert '    """' in text
        compile(text, name, "exec")
