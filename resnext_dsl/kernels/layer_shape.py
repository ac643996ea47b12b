"""The shape of a grouped convolution with a kernel of 3x3 and padding 1, and the shapes that the kernels compute."""

from __future__ import annotations

from resnext_dsl.foundation.records import NamedTuple

DTYPES = ("float32", "float16", "bfloat16")

MOST_ELEMENTS = 2**31 - 1
"""The kernels index elements with 32 bits."""

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = "forward", "input gradient", "weight gradient"

DIRECTIONS = (FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT)


class LayerShape(NamedTuple):
    """A layer at one size of its input.

    Attributes:
        batch: The number of images.
        channels: The channels of the input; the result has as many.
        groups: The groups of channels.
        height: The height of the input.
        width: The width of the input.
        stride: 1 or 2, in both axes.
        dtype: One of `DTYPES`.
    """

    batch: int
    channels: int
    groups: int
    height: int
    width: int
    stride: int
    dtype: str

    @property
    def group(self) -> int:
        """The channels a group."""
        return self.channels // self.groups

    @property
    def out_height(self) -> int:
        """The height of the result."""
        return (self.height - 1) // self.stride + 1

    @property
    def out_width(self) -> int:
        """The width of the result."""
        return (self.width - 1) // self.stride + 1

    def text(self) -> str:
        """The layer as keys and messages write it: `128 in 32 groups, 56x56, stride 1, bfloat16, batch 128`.

        The batch is rounded up to a power of two, so that batches of similar sizes share a choice.
        """
        batch = 1 << (self.batch - 1).bit_length()
        size = f"{self.height}x{self.width}"
        return f"{self.channels} in {self.groups} groups, {size}, stride {self.stride}, {self.dtype}, batch {batch}"


def has_kernels(channels: int, groups: int, stride: int) -> bool:
    """Whether there are kernels for a layer: 2 to 64 channels a group, stride 1 or 2."""
    return groups > 1 and channels % groups == 0 and 2 <= channels // groups <= 64 and stride in (1, 2)


def fits(shape: LayerShape) -> bool:
    """Whether the kernels compute a shape: its type is known, its tensors are not empty and not too large."""
    elements = shape.batch * shape.channels * shape.height * shape.width
    known = shape.dtype in DTYPES and has_kernels(shape.channels, shape.groups, shape.stride)
    return known and 0 < elements <= MOST_ELEMENTS
