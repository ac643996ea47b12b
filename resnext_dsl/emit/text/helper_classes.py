"""Source text of helper classes that torch does not have; an emitted file carries the helper classes that it names.

Each class reads no shape but the batch size, or computes with sizes without branches. So tracing, exporting and
compiling keep the sizes dynamic. A class needs no names except `torch`, `nn`, `F` and the helpers before it.
"""

from __future__ import annotations

_LAYER_NORM = '''\
class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels at each position of a map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
'''

_DROP_PATH = '''\
class DropPath(nn.Module):
    """Zeroes the value of a sample with probability p while training (stochastic depth).

    The samples that stay are divided by 1 - p; `dimensions` is that of one sample.
    """

    def __init__(self, p: float, dimensions: int = 3) -> None:
        super().__init__()
        self.p = p
        self.dimensions = dimensions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        kept = x.new_empty([x.shape[0]] + [1] * self.dimensions).bernoulli_(1.0 - self.p)
        return x * kept.div_(1.0 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"
'''

_LAYER_SCALE = '''\
class LayerScale(nn.Module):
    """Multiplies each channel by a learned factor, or all by one; `dimensions` is that of one sample."""

    def __init__(self, channels: int, init: float = 1e-6, dimensions: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), init))
        self.shape = (channels,) + (1,) * (dimensions - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma.view(self.shape)
'''

_AFFINE = '''\
class Affine(nn.Module):
    """Multiplies by a learned number and adds another one, the same for all channels."""

    def __init__(self, init: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), init))
        self.bias = nn.Parameter(torch.full((1,), offset))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self.bias, self.scale, x)
'''

_RESPONSE_NORM = '''\
class GlobalResponseNorm(nn.Module):
    """Adds to each channel a learned share of itself, by its norm over the map relative to the other channels."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.norm(dim=(2, 3), keepdim=True)
        share = size / (size.mean(1, keepdim=True) + self.eps)
        return x + torch.addcmul(self.bias[:, None, None], self.weight[:, None, None], x * share)
'''

_CHANNEL_CONV = '''\
class ChannelConv(nn.Conv1d):
    """Convolution across the channels of a map of one row and one column."""

    def __init__(self, kernel: int) -> None:
        super().__init__(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
'''

_CENTER_CROP = '''\
class CenterCrop(nn.Module):
    """The middle of a map, of a size or of the size of another value, whatever the size of the image."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        rows, columns = self.size if like is None else like.shape[2:]
        top, left = (x.shape[2] - rows) // 2, (x.shape[3] - columns) // 2
        return x[:, :, top : top + rows, left : left + columns]
'''

_PART_SOFTMAX = '''\
class PartSoftmax(nn.Module):
    """Softmax across equal parts of the channels: over the first channels of all parts, over the second ones, ..."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(1, (self.parts, -1)).softmax(1).flatten(1, 2)

    def extra_repr(self) -> str:
        return str(self.parts)
'''

_UNIT_SHUFFLE = '''\
class UnitShuffle(nn.Module):
    """Units of neighbouring channels, taken from each group in turn."""

    def __init__(self, groups: int, unit: int) -> None:
        super().__init__()
        self.groups = groups
        self.unit = unit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(1, (self.groups, -1, self.unit)).transpose(1, 2).flatten(1, 3)

    def extra_repr(self) -> str:
        return f"{self.groups}, {self.unit}"
'''

_SAME_UPPER_PADDED = '''\
def same_upper_padded(
    x: torch.Tensor,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    dilation: int | tuple[int, int] = 1,
    value: float = 0.0,
) -> torch.Tensor:
    """A map with TensorFlow's SAME padding for its size; an odd row or column goes to the end."""
    around = []
    for axis in (1, 0):
        side, step, gap = (n if isinstance(n, int) else n[axis] for n in (kernel, stride, dilation))
        reach = gap * (side - 1) + 1
        missing = reach - 1 - (x.shape[2 + axis] - 1) % step
        if reach < step:
            missing *= (missing + step - 1) // step  # times 0 if negative, else times 1, without a branch
        around += [missing // 2, missing - missing // 2]
    return F.pad(x, around, value=value)
'''

_CONV_SAME = '''\
class Conv2dSame(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding for the size of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(same_upper_padded(x, self.kernel_size, self.stride, self.dilation))
'''

_MAX_POOL_SAME = '''\
class MaxPool2dSame(nn.MaxPool2d):
    """Maxima of windows with TensorFlow's SAME padding for the size of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(same_upper_padded(x, self.kernel_size, self.stride, self.dilation, float("-inf")))
'''

_AVG_POOL_SAME = '''\
class AvgPool2dSame(nn.AvgPool2d):
    """Means of windows with TensorFlow's SAME padding for the size of its input.

    With `count_include_pad=False` a mean is that of the elements of the input in its window.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = super().forward(same_upper_padded(x, self.kernel_size, self.stride))
        if self.count_include_pad:
            return means
        ones = torch.ones_like(x[:1, :1])
        return means / super().forward(same_upper_padded(ones, self.kernel_size, self.stride))
'''

_STANDARDIZED_CONV = '''\
class StandardizedConv2d(nn.Conv2d):
    """Convolution whose weights have mean 0 and variance 1 in each output channel.

    With `gamma` they have variance gamma**2 / fan-in, times a learned gain. `same_upper` pads as TensorFlow's SAME.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        same_upper: bool = False,
        gamma: float | None = None,
        gain: float = 1.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.same_upper = same_upper
        self.eps = eps
        self.factor = 1.0 if gamma is None else gamma * self.weight[0].numel() ** -0.5
        self.gain = None if gamma is None else nn.Parameter(torch.full((out_channels, 1, 1, 1), gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gain = None if self.gain is None else (self.gain * self.factor).view(-1)
        weight = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(weight, None, None, gain, training=True, momentum=0.0, eps=self.eps)
        if self.same_upper:
            x = same_upper_padded(x, self.kernel_size, self.stride, self.dilation)
        weight = weight.reshape(self.weight.shape)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
'''

_FIXED_CONV = '''\
class FixedConv2d(nn.Module):
    """Convolution of each channel by a kernel that is not learned; no state_dict holds it."""

    def __init__(
        self,
        channels: int,
        kernel: tuple[tuple[float, ...], ...],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        mode: str = "constant",
    ) -> None:
        super().__init__()
        rows, columns = (padding, padding) if isinstance(padding, int) else padding
        self.rows = kernel
        self.channels = channels
        self.stride = stride
        self.padding = (rows, columns) if mode == "constant" else (0, 0)
        self.around = (columns, columns, rows, rows)
        self.mode = mode
        weight = torch.tensor(kernel)
        if weight.is_meta:  # no state_dict would give it values
            weight = torch.tensor(kernel, device="cpu")
        self.register_buffer("kernel", weight.repeat(channels, 1, 1, 1), persistent=False)

    def reset_parameters(self) -> None:
        """Fill the kernel after `to_empty`."""
        self.kernel.copy_(torch.tensor(self.rows, device="cpu"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mode != "constant":
            x = F.pad(x, self.around, mode=self.mode)
        return F.conv2d(x, self.kernel, None, self.stride, self.padding, groups=self.channels)

    def extra_repr(self) -> str:
        return f"{self.channels}, kernel_size={tuple(self.kernel.shape[2:])}, stride={self.stride}"
'''

_BLUR_POOL = '''\
class BlurPool2d(FixedConv2d):
    """Convolution of each channel by the binomial kernel of a size, whose sum is 1."""

    def __init__(
        self,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        mode: str = "constant",
    ) -> None:
        sides = []
        for size in (kernel, kernel) if isinstance(kernel, int) else kernel:
            side = [1.0]
            for _ in range(size - 1):
                side = [(one + other) / 2 for one, other in zip([0.0, *side], [*side, 0.0], strict=True)]
            sides.append(side)
        rows = tuple(tuple(one * other for other in sides[1]) for one in sides[0])
        super().__init__(channels, rows, stride, padding, mode)
'''

_CENTER_CROP_1D = '''\
class CenterCrop1d(nn.Module):
    """The middle of a signal, of a length or of the length of another value, whatever the length of the input."""

    def __init__(self, size: tuple[int] | None = None) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        (columns,) = self.size if like is None else like.shape[2:]
        left = (x.shape[2] - columns) // 2
        return x[:, :, left : left + columns]
'''

_CENTER_CROP_3D = '''\
class CenterCrop3d(nn.Module):
    """The middle of a clip, of a size or of the size of another value, whatever the size of the input."""

    def __init__(self, size: tuple[int, int, int] | None = None) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        frames, rows, columns = self.size if like is None else like.shape[2:]
        front, top, left = (x.shape[2] - frames) // 2, (x.shape[3] - rows) // 2, (x.shape[4] - columns) // 2
        return x[:, :, front : front + frames, top : top + rows, left : left + columns]
'''


def _of_rank(text: str, *changes: tuple[str, str]) -> str:
    """The class for signals or clips, from the text for images."""
    for before, after in changes:
        assert before in text, f"the helper class has no `{before}`"
        text = text.replace(before, after)
    return text


SUPPORT: dict[str, str] = {
    "same_upper_padded": _SAME_UPPER_PADDED,
    "Conv2dSame": _CONV_SAME,
    "MaxPool2dSame": _MAX_POOL_SAME,
    "AvgPool2dSame": _AVG_POOL_SAME,
    "StandardizedConv2d": _STANDARDIZED_CONV,
    "FixedConv2d": _FIXED_CONV,
    "BlurPool2d": _BLUR_POOL,
    "LayerNorm2d": _LAYER_NORM,
    "LayerNorm1d": _of_rank(_LAYER_NORM, ("Norm2d", "Norm1d"), ("0, 2, 3, 1", "0, 2, 1"), ("0, 3, 1, 2", "0, 2, 1")),
    "LayerNorm3d": _of_rank(
        _LAYER_NORM, ("Norm2d", "Norm3d"), ("0, 2, 3, 1", "0, 2, 3, 4, 1"), ("0, 3, 1, 2", "0, 4, 1, 2, 3")
    ),
    "DropPath": _DROP_PATH,
    "LayerScale": _LAYER_SCALE,
    "Affine": _AFFINE,
    "GlobalResponseNorm": _RESPONSE_NORM,
    "GlobalResponseNorm1d": _of_rank(
        _RESPONSE_NORM, ("ResponseNorm(", "ResponseNorm1d("), ("(2, 3)", "2"), ("[:, None, None]", "[:, None]")
    ),
    "GlobalResponseNorm3d": _of_rank(
        _RESPONSE_NORM,
        ("ResponseNorm(", "ResponseNorm3d("),
        ("x.norm(dim=(2, 3), keepdim=True)", "torch.linalg.vector_norm(x, dim=(2, 3, 4), keepdim=True)"),
        ("[:, None, None]", "[:, None, None, None]"),
    ),
    "ChannelConv": _CHANNEL_CONV,
    "ChannelConv1d": _of_rank(
        _CHANNEL_CONV,
        ("ChannelConv(", "ChannelConv1d("),
        ("one row and one column", "length 1"),
        (".unsqueeze(-1)", ""),
    ),
    "ChannelConv3d": _of_rank(
        _CHANNEL_CONV,
        ("ChannelConv(", "ChannelConv3d("),
        ("one row and one column", "one frame of one row and one column"),
        (".unsqueeze(-1)", ".unsqueeze(-1).unsqueeze(-1)"),
    ),
    "CenterCrop": _CENTER_CROP,
    "PartSoftmax": _PART_SOFTMAX,
    "UnitShuffle": _UNIT_SHUFFLE,
    "CenterCrop1d": _CENTER_CROP_1D,
    "CenterCrop3d": _CENTER_CROP_3D,
}
"""Name of a helper class, or of a function that helper classes call -> its complete source."""

CHAIN = '''\
class Chain(nn.Sequential):
    """Modules in a row, each under a name of its own."""

    def __init__(self, *modules: nn.Module, **named: nn.Module) -> None:
        super().__init__(*modules)
        for name, module in named.items():
            self.add_module(name, module)
'''
"""The source of `Chain`, which holds a row of named modules."""
