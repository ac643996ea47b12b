"""Source text of helper classes that torch does not have; an emitted file carries the helper classes that it names.

Each class reads no shape but the batch size, so that tracing, exporting and compiling keep the batch dynamic. It needs
no names except `torch`, `nn` and `F`.
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
    """Multiplies each channel by a learned factor; `dimensions` is that of one sample."""

    def __init__(self, channels: int, init: float = 1e-6, dimensions: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), init))
        self.shape = (channels,) + (1,) * (dimensions - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma.view(self.shape)
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
    "LayerNorm2d": _LAYER_NORM,
    "LayerNorm1d": _of_rank(_LAYER_NORM, ("Norm2d", "Norm1d"), ("0, 2, 3, 1", "0, 2, 1"), ("0, 3, 1, 2", "0, 2, 1")),
    "LayerNorm3d": _of_rank(
        _LAYER_NORM, ("Norm2d", "Norm3d"), ("0, 2, 3, 1", "0, 2, 3, 4, 1"), ("0, 3, 1, 2", "0, 4, 1, 2, 3")
    ),
    "DropPath": _DROP_PATH,
    "LayerScale": _LAYER_SCALE,
    "GlobalResponseNorm": _RESPONSE_NORM,
    "GlobalResponseNorm1d": _of_rank(
        _RESPONSE_NORM, ("ResponseNorm(", "ResponseNorm1d("), ("(2, 3)", "(2,)"), ("[:, None, None]", "[:, None]")
    ),
    "GlobalResponseNorm3d": _of_rank(
        _RESPONSE_NORM,
        ("ResponseNorm(", "ResponseNorm3d("),
        ("(2, 3)", "(2, 3, 4)"),
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
    "CenterCrop1d": _CENTER_CROP_1D,
    "CenterCrop3d": _CENTER_CROP_3D,
}
"""Name of a helper class -> its complete source."""

CHAIN = '''\
class Chain(nn.Sequential):
    """Modules in a row, each under a name of its own."""

    def __init__(self, *modules: nn.Module, **named: nn.Module) -> None:
        super().__init__(*modules)
        for name, module in named.items():
            self.add_module(name, module)
'''
"""The source of `Chain`, which holds a row of named modules."""
