"""A weight is never loaded from a lone bias of its shape; a scale of another name is one."""

from __future__ import annotations

import pytest
import torch

import resnext_dsl as rx

BODIES = {"prelu.weight": "prelu(per_channel=true)", "layer_scale.gamma": "layer_scale"}


def checkpoint(name: str) -> dict[str, torch.Tensor]:
    return {"features.weight": torch.full((8, 3, 1, 1), 2.0), f"scale.{name}": torch.full((8,), 3.0)}


@pytest.mark.parametrize("key", BODIES)
@pytest.mark.parametrize("name", ["weight", "gamma", "scale"])
def test_a_scale_may_have_another_name(key: str, name: str) -> None:
    net = rx.loads(f"network n {{ input image: 3x8x8\n conv(8, 1x1); {BODIES[key]} }}")
    assert (net.compile(weights=checkpoint(name)).state_dict()[key] == 3).all()


@pytest.mark.parametrize("key", BODIES)
def test_a_bias_is_no_scale(key: str) -> None:
    net = rx.loads(f"network n {{ input image: 3x8x8\n conv(8, 1x1); {BODIES[key]} }}")
    with pytest.raises(rx.WeightsError) as caught:
        net.compile(weights=checkpoint("bias"))
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (
        "E701",
        f"`{key}` is 8 here; `scale.bias` is 8 in the checkpoint",
    )
