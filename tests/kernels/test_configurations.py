"""The tiles and configurations of layers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnext_dsl.kernels.configurations import BLOCKS, KERNELS, blocks, candidates, kernels, tile
from resnext_dsl.kernels.layer_shape import DIRECTIONS, LayerShape, fits, has_kernels


@given(group=st.integers(2, 64), groups=st.integers(2, 70), stride=st.sampled_from([1, 2]))
def test_a_tile_holds_whole_groups_and_divides_the_channels(group, groups, stride):
    shape = LayerShape(2, group * groups, groups, 9, 7, stride, "bfloat16")
    assert fits(shape)
    for block in blocks(group, groups):
        channels = tile(block, group, groups)
        assert block in BLOCKS
        assert group <= channels <= block
        assert channels % group == 0
        assert shape.channels % channels == 0
    for direction in DIRECTIONS:
        found = list(candidates(direction, shape))
        assert found
        assert len(set(found)) == len(found)
        assert {configuration.kernel for configuration in found} == set(kernels(direction, stride)) <= set(KERNELS)


@pytest.mark.parametrize(
    ("group", "groups", "tiles"),
    [
        (4, 32, {16: 16, 32: 32}),
        (8, 32, {16: 16, 32: 32, 64: 64}),
        (48, 9, {64: 48}),
        (24, 9, {32: 24}),
        (24, 4, {32: 24, 64: 48}),
    ],
)
def test_tiles_of_published_networks(group, groups, tiles):
    assert {block: tile(block, group, groups) for block in blocks(group, groups)} == tiles


@pytest.mark.parametrize(
    ("channels", "groups", "stride", "there"),
    [
        (128, 32, 1, True),
        (128, 32, 2, True),
        (128, 32, 3, False),
        (128, 1, 1, False),  # one group
        (128, 128, 1, False),  # depthwise
        (128, 64, 1, True),  # 2 channels a group
        (128, 2, 1, True),  # 64 channels a group
        (130, 2, 1, False),  # 65 channels a group
        (130, 4, 1, False),  # groups of unequal size do not exist
    ],
)
def test_layers_with_kernels(channels, groups, stride, there):
    assert has_kernels(channels, groups, stride) is there


def test_tensors_too_large_for_indices_of_32_bits_take_torch():
    exact = LayerShape(2**11, 2**9, 8, 2**5, 2**6 - 1, 1, "float16")
    assert fits(exact)
    assert not fits(exact._replace(width=2**6))
    assert not fits(exact._replace(batch=0))
    assert not fits(exact._replace(dtype="float64"))


def test_text_rounds_the_batch_up():
    shape = LayerShape(100, 128, 32, 56, 56, 1, "bfloat16")
    assert shape.text() == "128 in 32 groups, 56x56, stride 1, bfloat16, batch 128"
    assert shape._replace(batch=128).text() == shape.text()
    assert shape._replace(batch=129).text().endswith("batch 256")
    assert shape._replace(batch=1).text().endswith("batch 1")
