"""Networks whose values take the height and width of other values, against torch functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import resnext_dsl as rx

NET = """
network n {
    input image: 3 x 13 x 11
    param mode = bilinear
    stem { conv(4, 3x3) as skip; relu; maxpool(2x2, padding=valid) }
    stage down { conv(6, 3x3, stride=2); relu }
    stage up { resize(skip, mode=mode, align_corners=mode == "bilinear"); conv(4, 1x1); add(skip) }
    stage cut {
        crop(size=4x4) as middle
        use up; crop(down); pad(top=1, left=-1, value=0.5); pad(left=1, right=1, mode=reflect)
        concat(middle)
    }
    head { avgpool(global); flatten; linear(2) }
}
"""


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_resized_and_cropped_values_are_those_of_torch(mode: str) -> None:
    network = rx.loads(NET, mode=mode)
    model = network.compile(seed=0).eval()
    state = model.state_dict()
    image = torch.randn(2, 3, 13, 11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        skip = F.conv2d(image, state["stem.conv.weight"], padding=1)
        down = F.relu(F.conv2d(F.max_pool2d(F.relu(skip), 2), state["down.conv.weight"], stride=2, padding=1))
        aligned = {"align_corners": True} if mode == "bilinear" else {}
        up = F.conv2d(F.interpolate(down, (13, 11), mode=mode, **aligned), state["up.conv.weight"]) + skip
        assert down.shape[2:] == (3, 3)
        window = F.pad(up[:, :, 5:8, 4:7], (-1, 0, 1, 0), value=0.5)
        window = torch.cat([F.pad(window, (1, 1, 0, 0), mode="reflect"), up[:, :, 4:8, 3:7]], 1)
        expected = F.linear(window.mean((2, 3)), state["head.linear.weight"], state["head.linear.bias"])
        torch.testing.assert_close(model(image), expected)


def test_an_image_of_another_size_is_resized_to_its_own_values() -> None:
    text = (
        "network n { input image: 3x16x16; conv(4, 3x3) as skip; maxpool(2x2); conv(4, 3x3); resize(skip); add(skip) }"
    )
    model = rx.loads(text).compile(seed=0)
    assert model(torch.zeros(1, 3, 27, 9)).shape == (1, 4, 27, 9)


def test_a_crop_is_the_middle_of_an_image_of_another_size() -> None:
    text = (
        "network n { input image: 1x16x16; stem { identity as whole; maxpool(2x2) as small }; use whole; crop(small) }"
    )
    model = rx.loads(text).compile(seed=0)
    image = torch.arange(24.0 * 20).view(1, 1, 24, 20)
    torch.testing.assert_close(model(image), image[:, :, 6:18, 5:15])


def test_a_second_value_is_an_error() -> None:
    with pytest.raises(rx.ArchError, match="`resize` takes at most 1 other value; found 2") as caught:
        rx.loads("network n { input image: 3x8x8; conv(4, 3x3) as a; resize(a, a) }")
    assert [(each.code, each.span.text) for each in caught.value.diagnostics if each.span] == [("E203", "a")]
