"""Names of the arguments of functions and methods of torch, as in the schemas of ATen.

`torch.nn.functional` gives some arguments other names and another order than ATen; `normalized` translates them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_AVERAGE = ("self", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
_MAXIMUM = ("self", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_BINARY = ("self", "other", "alpha")
_REDUCTION = ("self", "dim", "keepdim", "dtype")
_NAMES = {
    "batch_norm": _NORM,
    "instance_norm": ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "local_response_norm": ("input", "size", "alpha", "beta", "k"),
    "linear": ("input", "weight", "bias"),
    "add": _BINARY,
    "sub": _BINARY,
    "rsub": _BINARY,
    "div": ("self", "other", "rounding_mode"),
    "pow": ("self", "exponent"),
    "mean": _REDUCTION,
    "sum": _REDUCTION,
    "amax": _REDUCTION,
    "norm": ("self", "p", "dim", "keepdim", "dtype"),
    "linalg_vector_norm": ("self", "ord", "dim", "keepdim", "dtype"),
    "cat": ("tensors", "dim"),
    "stack": ("tensors", "dim"),
    "view": ("self", "size"),
    "reshape": ("self", "shape"),
    "permute": ("self", "dims"),
    "expand": ("self", "size"),
    "repeat": ("self", "repeats"),
    "transpose": ("self", "dim0", "dim1"),
    "swapaxes": ("self", "dim0", "dim1"),
    "squeeze": ("self", "dim"),
    "unsqueeze": ("self", "dim"),
    "flatten": ("self", "start_dim", "end_dim"),
    "unflatten": ("self", "dim", "sizes"),
    "chunk": ("self", "chunks", "dim"),
    "split": ("self", "split_size", "dim"),
    "unbind": ("self", "dim"),
    "narrow": ("self", "dim", "start", "length"),
    "select": ("self", "dim", "index"),
    "softmax": ("self", "dim", "dtype"),
    "clamp": ("self", "min", "max"),
    "clamp_min": ("self", "min"),
    "pad": ("self", "pad", "mode", "value"),
    "hardtanh": ("self", "min_val", "max_val", "inplace"),
    "leaky_relu": ("self", "negative_slope", "inplace"),
    "elu": ("self", "alpha", "inplace"),
    "gelu": ("self", "approximate"),
    "softplus": ("self", "beta", "threshold"),
    "prelu": ("self", "weight"),
    "dropout": ("input", "p", "train", "inplace"),
    "feature_dropout": ("input", "p", "train", "inplace"),
    "pixel_shuffle": ("self", "upscale_factor"),
    "pixel_unshuffle": ("self", "downscale_factor"),
    "channel_shuffle": ("self", "groups"),
    "addcmul": ("self", "tensor1", "tensor2", "value"),
    "to": ("self", "dtype"),
    "interpolate": (
        "self",
        "size",
        "scale_factor",
        "mode",
        "align_corners",
        "recompute_scale_factor",
        "antialias",
    ),
    **dict.fromkeys(("relu", "relu6", "silu", "mish", "hardswish", "hardsigmoid", "selu"), ("self", "inplace")),
    "contiguous": ("self", "memory_format"),
    **{f"conv{rank}d": _CONVOLUTION for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _TRANSPOSED for rank in (1, 2, 3)},
    **{f"avg_pool{rank}d": _AVERAGE for rank in (1, 2, 3)},
    **{f"max_pool{rank}d": _MAXIMUM for rank in (1, 2, 3)},
    **{f"adaptive_avg_pool{rank}d": ("self", "output_size") for rank in (1, 2, 3)},
    **{f"adaptive_max_pool{rank}d": ("self", "output_size", "return_indices") for rank in (1, 2, 3)},
}
"""Operation -> the names of its arguments, in the order of torch's functions and methods."""

_OPERATIONS = {
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "swapdims": "swapaxes",
    "clip": "clamp",
    "dropout1d": "feature_dropout",
    "dropout2d": "feature_dropout",
    "dropout3d": "feature_dropout",
    "matrix_multiply": "matmul",
    "vector_norm": "linalg_vector_norm",
    "view_as": "view_as",
    "swish": "silu",
    "negative": "neg",
    "constant_pad_nd": "pad",
}
"""Other names of operations."""

_RENAMED = {
    "training": ("train", frozenset({"dropout", "feature_dropout"})),
    "input": ("self", frozenset({"softmax", "pad", "hardtanh", "leaky_relu", "elu", "prelu"})),
    "split_size_or_sections": ("split_size", frozenset({"split"})),
    "axis": ("dim", None),
    "tensors": ("tensors", None),
    "normalized_shape": ("normalized_shape", None),
}

_SEQUENCES = {"view": "size", "reshape": "shape", "permute": "dims", "expand": "size", "repeat": "repeats"}
"""Methods that take a list as separate numbers too."""

_PRIVATE = frozenset({"_stacklevel", "out", "requires_grad", "layout", "device"})
"""Arguments without effect on a result."""


def operation_of(name: str) -> tuple[str, bool]:
    """The operation that a name of torch stands for, and whether it changes its argument in place."""
    plain = name.strip("_") if name.startswith("__") else name
    in_place = plain in ("iadd", "isub", "imul", "itruediv") or (plain.endswith("_") and not plain.startswith("_"))
    plain = plain.rstrip("_")
    return _OPERATIONS.get(plain, plain), in_place


def bound(operation: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of ATen."""
    names = _NAMES.get(operation, ("self", "other"))
    listed = _SEQUENCES.get(operation)
    if listed and len(positional) > 1 and not isinstance(positional[1], list | tuple):
        positional = (positional[0], list(positional[1:]))
    arguments = dict(zip(names, positional, strict=False))
    for place in range(len(names), len(positional)):
        arguments[f"argument_{place + 1}"] = positional[place]
    for name, value in keywords.items():
        if name not in _PRIVATE:
            arguments[_renamed(operation, name)] = value
    return arguments


def _renamed(operation: str, name: str) -> str:
    renamed, operations = _RENAMED.get(name, (name, None))
    if name == "input" and _NAMES.get(operation, ("self",))[0] == "self":
        return "self"
    return renamed if operations is None or operation in operations else name
