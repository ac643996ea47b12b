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
