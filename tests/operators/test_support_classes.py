"""The classes that emitted files carry: what they compute, and that torch can trace, export and compile them."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from operator_cases import build, namespace
from torch import nn

from resnext_dsl.operators import OPERATORS, Shape, validate

MAP: Shape = (6, 5, 4)


def made(name: str, shape: Shape = MAP, **arguments: object) -> nn.Module:
    return build(name, validate(OPERATORS[name], arguments), (shape,))


MODULES: dict[str, dict[str, object]] = {
    "layernorm": {},
    "drop_path": {"p": 0.25},
    "layer_scale": {"init": 0.5},
    "shuffle": {"groups": 3},
    "channel_conv": {"kernel": 3},
    "grn": {"eps": 0.01},
    "lrn": {"size": 3},
    "softmax": {"across": 3},
    "upsample": {"mode": "bilinear"},
}


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


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODULES)
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


def test_a_default_device_reaches_their_parameters() -> None:
    with torch.device("meta"):
        assert namespace()["LayerScale"](4).gamma.is_meta
        assert namespace()["LayerNorm2d"](4).weight.is_meta
