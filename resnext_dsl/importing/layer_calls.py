"""The modules of torch.nn that are read by their class, as the ATen calls that they make in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from resnext_dsl.importing.trace import Stored

LayerCall = tuple[str, dict[str, Any]]
"""An operation and its arguments without the value."""

Reader = Callable[[Any, str], list[LayerCall]]


def _stored(module: nn.Module, path: str, *names: str) -> dict[str, Any]:
    """The parameters and buffers of a module that exist, as arguments."""
    prefix = f"{path}." if path else ""
    return {name: Stored(prefix + name) for name in names if getattr(module, name) is not None}


def _conv(module: Any, path: str) -> list[LayerCall]:
    rank = len(module.kernel_size)
    arguments = {
        **_stored(module, path, "weight", "bias"),
        "stride": module.stride,
        "padding": module.padding,
        "dilation": module.dilation,
        "groups": module.groups,
    }
    if module.padding_mode == "zeros":
        return [(f"conv{rank}d", arguments)]
    around = list(module._reversed_padding_repeated_twice)
    pad = {"pad": around, "mode": module.padding_mode}
    return [("pad", pad), (f"conv{rank}d", {**arguments, "padding": (0,) * rank})]


def _transposed(module: Any, path: str) -> list[LayerCall]:
    arguments = {
        **_stored(module, path, "weight", "bias"),
        "stride": module.stride,
        "padding": module.padding,
        "output_padding": module.output_padding,
        "groups": module.groups,
        "dilation": module.dilation,
    }
    return [(f"conv_transpose{len(module.kernel_size)}d", arguments)]


def _batch_norm(module: Any, path: str) -> list[LayerCall]:
    stored = _stored(module, path, "weight", "bias", "running_mean", "running_var")
    if module.momentum is None:
        return [("batch_norm", {**stored, "eps": module.eps, "cumulative_average": True})]
    return [("batch_norm", {**stored, "eps": module.eps, "momentum": module.momentum})]


def _instance_norm(module: Any, path: str) -> list[LayerCall]:
    stored = _stored(module, path, "weight", "bias")
    tracked = {"use_input_stats": False} if module.track_running_stats else {}
    return [("instance_norm", {**stored, "eps": module.eps, **tracked})]


def _layer_norm(module: Any, path: str) -> list[LayerCall]:
    arguments = {"normalized_shape": tuple(module.normalized_shape), "eps": module.eps}
    return [("layer_norm", {**_stored(module, path, "weight", "bias"), **arguments})]


def _group_norm(module: Any, path: str) -> list[LayerCall]:
    arguments = {"num_groups": module.num_groups, "eps": module.eps}
    return [("group_norm", {**_stored(module, path, "weight", "bias"), **arguments})]


def _linear(module: Any, path: str) -> list[LayerCall]:
    return [("linear", _stored(module, path, "weight", "bias"))]


def _prelu(module: Any, path: str) -> list[LayerCall]:
    return [("prelu", _stored(module, path, "weight"))]


def _nothing(module: Any, path: str) -> list[LayerCall]:
    return []


def _dropout(module: Any, path: str) -> list[LayerCall]:
    return [("dropout", {"p": module.p, "train": False})]


def _channel_dropout(module: Any, path: str) -> list[LayerCall]:
    return [("feature_dropout", {"p": module.p, "train": False})]


def _calls(operation: str, **attributes: str) -> Reader:
    """The reader of a module whose attributes are the arguments of one operation."""

    def read(module: Any, path: str) -> list[LayerCall]:
        return [(operation, {argument: getattr(module, name) for argument, name in attributes.items()})]

    return read


def _max_pool(module: Any, path: str) -> list[LayerCall]:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    rank = type(module).__name__[-2:]
    return [(f"max_pool{rank}", {name: getattr(module, name) for name in names})]


def _avg_pool(module: Any, path: str) -> list[LayerCall]:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
    override = {"divisor_override": module.divisor_override} if hasattr(module, "divisor_override") else {}
    rank = type(module).__name__[-2:]
    return [(f"avg_pool{rank}", {**{name: getattr(module, name) for name in names}, **override})]


def _padding(mode: str) -> Reader:
    def read(module: Any, path: str) -> list[LayerCall]:
        value = {"value": module.value} if mode == "constant" else {}
        return [("pad", {"pad": list(module.padding), "mode": mode, **value})]

    return read


def _upsample(module: Any, path: str) -> list[LayerCall]:
    names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")
    return [("interpolate", {name: getattr(module, name) for name in names})]


def _softmax(module: Any, path: str) -> list[LayerCall]:
    return [("softmax", {"dim": module.dim})] if module.dim is not None else [("implicit_softmax", {})]


def _unflatten(module: Any, path: str) -> list[LayerCall]:
    return [("unflatten", {"dim": module.dim, "sizes": list(module.unflattened_size)})]


def layer_readers() -> Mapping[type[nn.Module], Reader]:
    """Class -> the calls that a module of exactly this class makes."""
    adaptive = {
        getattr(nn, f"Adaptive{kind}Pool{rank}d"): _calls(
            f"adaptive_{kind.lower()}_pool{rank}d",
            output_size="output_size",
            **({"return_indices": "return_indices"} if kind == "Max" else {}),
        )
        for kind in ("Avg", "Max")
        for rank in (1, 2, 3)
    }
    sided: dict[type[nn.Module], Reader] = {}
    for rank in (1, 2, 3):
        sided |= {
            getattr(nn, f"Conv{rank}d"): _conv,
            getattr(nn, f"ConvTranspose{rank}d"): _transposed,
            getattr(nn, f"BatchNorm{rank}d"): _batch_norm,
            getattr(nn, f"InstanceNorm{rank}d"): _instance_norm,
            getattr(nn, f"MaxPool{rank}d"): _max_pool,
            getattr(nn, f"AvgPool{rank}d"): _avg_pool,
            getattr(nn, f"Dropout{rank}d"): _channel_dropout,
            getattr(nn, f"ConstantPad{rank}d"): _padding("constant"),
            getattr(nn, f"ZeroPad{rank}d"): _padding("constant"),
            getattr(nn, f"ReflectionPad{rank}d"): _padding("reflect"),
            getattr(nn, f"ReplicationPad{rank}d"): _padding("replicate"),
            getattr(nn, f"CircularPad{rank}d"): _padding("circular"),
        }
    return {
        **sided,
        **adaptive,
        nn.LayerNorm: _layer_norm,
        nn.GroupNorm: _group_norm,
        nn.LocalResponseNorm: _calls("local_response_norm", size="size", alpha="alpha", beta="beta", k="k"),
        nn.Linear: _linear,
        nn.Identity: _nothing,
        nn.Dropout: _dropout,
        nn.ReLU: _calls("relu"),
        nn.ReLU6: _calls("relu6"),
        nn.SELU: _calls("selu"),
        nn.SiLU: _calls("silu"),
        nn.Mish: _calls("mish"),
        nn.Sigmoid: _calls("sigmoid"),
        nn.Tanh: _calls("tanh"),
        nn.Hardswish: _calls("hardswish"),
        nn.Hardsigmoid: _calls("hardsigmoid"),
        nn.LeakyReLU: _calls("leaky_relu", negative_slope="negative_slope"),
        nn.PReLU: _prelu,
        nn.ELU: _calls("elu", alpha="alpha"),
        nn.GELU: _calls("gelu", approximate="approximate"),
        nn.Hardtanh: _calls("hardtanh", min_val="min_val", max_val="max_val"),
        nn.Softplus: _calls("softplus", beta="beta", threshold="threshold"),
        nn.Softmax: _softmax,
        nn.Flatten: _calls("flatten", start_dim="start_dim", end_dim="end_dim"),
        nn.Unflatten: _unflatten,
        nn.Upsample: _upsample,
        nn.UpsamplingNearest2d: _upsample,
        nn.UpsamplingBilinear2d: _upsample,
        nn.PixelShuffle: _calls("pixel_shuffle", upscale_factor="upscale_factor"),
        nn.PixelUnshuffle: _calls("pixel_unshuffle", downscale_factor="downscale_factor"),
        nn.ChannelShuffle: _calls("channel_shuffle", groups="groups"),
    }


READERS = layer_readers()

RANDOM_DEPTH: Mapping[tuple[str, str], str] = {
    ("timm.layers.drop", "DropPath"): "drop_prob",
    ("torchvision.ops.stochastic_depth", "StochasticDepth"): "p",
}
"""Module and name of a class of stochastic depth -> the attribute of its probability."""


def reader_of(module: nn.Module) -> Reader | None:
    """The reader of a module's class; None if its calls must be traced."""
    kind = type(module)
    if kind in READERS:
        return READERS[kind] if not _has_hooks(module) else None
    attribute = RANDOM_DEPTH.get((kind.__module__, kind.__qualname__))
    if attribute is None or getattr(module, "mode", "row") != "row" or not getattr(module, "scale_by_keep", True):
        return None
    p = getattr(module, attribute) or 0.0
    return lambda module, path: [("drop_path", {"p": float(p)})] if p else []


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
