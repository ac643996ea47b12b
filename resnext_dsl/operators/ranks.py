"""The rank of a value: the number of its sides beside the channels.

A signal has a length, an image has height and width, a clip has time, height and width; features have no sides.
Operators follow the rank of the value that they are applied to. A kernel, stride, padding or size has one number for
each side.
"""

from resnext_dsl.operators.base import Shape

FEATURES, SIGNAL, IMAGE, CLIP = range(4)

LAYOUTS = ("features", "channels x length", "channels x height x width", "channels x time x height x width")
"""For each rank, the numbers of a shape in words."""

RANKS = (SIGNAL, IMAGE, CLIP)
"""The ranks of feature maps."""

Sides = tuple[int, ...]
"""One number for each side: the last is the width (or length), before it the height, then the time."""


def rank_of(shape: Shape) -> int:
    """The number of sides: 2 for an image, 0 for features."""
    return len(shape) - 1


def is_map(shape: Shape) -> bool:
    """Whether a shape is that of a feature map of any rank."""
    return rank_of(shape) in RANKS


def height_axis(rank: int) -> int:
    """The position of the height among the sides, counted from the end; that of the length for a signal."""
    return max(-rank, -2)


def by_rank(name: str, shape: Shape) -> str:
    """The class for a rank: `nn.Conv` and 64x56x56 give `nn.Conv2d`."""
    return f"{name}{rank_of(shape)}d"


def helper_by_rank(name: str, shape: Shape) -> str:
    """The helper class for a rank. The class for images has no number: `CenterCrop`, `CenterCrop1d`."""
    return name if rank_of(shape) == IMAGE else by_rank(name, shape)
