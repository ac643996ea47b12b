"""The calls of one forward pass, in one form for all sources: torch.fx, torch.export and ONNX.

Readers write it, and `lowering` turns it into a graph. The name of an operation is that of the ATen operator without
its overload and without the underscore of an in-place variant: "conv2d", "batch_norm", "add". Its arguments have the
names of the ATen schema. Readers bind positional arguments to these names, and translate the names of other libraries.
This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

BATCH = "batch"
"""Stands for the number of samples in the shapes of a trace."""

Sizes = tuple[int | str, ...]
"""A shape with the batch: (BATCH, channels, height, width)."""


class Ref(NamedTuple):
    """The result of a call as an argument of a later call: its position among the calls, or `INPUT`."""

    call: int


INPUT = Ref(-1)
"""The input of the network as an argument."""


class Stored(NamedTuple):
    """A parameter, a buffer or a constant tensor as an argument: its key in `Trace.tensors`."""

    key: str


class TracedTensor(NamedTuple):
    """A tensor that the source stores.

    Attributes:
        shape: Its shape.
        kind: "parameter", "buffer", or "constant" for a tensor that no state_dict holds.
        is_float: Whether its type is a floating-point type.
    """

    shape: Shape
    kind: str
    is_float: bool = True


class Call(NamedTuple):
    """One operation of a forward pass.

    Attributes:
        operation: Its canonical name: "conv2d", "getitem" for a result of an operation with several results, "size" for
            a size of a tensor, or a Python operator on sizes ("add", "floordiv", ...).
        arguments: Its arguments by the names of the ATen schema: numbers, strings, None, lists of these, `Ref` and
            `Stored`. Arguments at their default may be left out.
        sizes: The shape of its result with `BATCH` for the number of samples; None if the source does not know it.
        path: The path of the innermost module that makes the call, as in a state_dict: "layer1.0.conv2"; "" for the
            whole model.
        place: Its line in the source of the model, "FILE:LINE"; "" if it is not known.
    """

    operation: str
    arguments: Mapping[str, Any]
    sizes: Sizes | None = None
    path: str = ""
    place: str = ""


class Trace(NamedTuple):
    """A whole forward pass.

    Attributes:
        name: The name of the network, a name of the language.
        origin: The source with its version, for comments and messages: "timm:resnet50 (timm 1.0.31)".
        input: The shape of its input without the batch.
        calls: The calls, in the order of execution.
        outputs: Name -> the value; the first is the main output.
        modules: Path of each module -> name of its class, parents first; "" is the whole model.
        tensors: Key -> the tensor; keys of parameters and buffers are those of the state_dict.
        value: Reads a tensor by its key, as a torch tensor.
        notes: Sentences about facts that the source does not tell, or fixes to the example.
    """

    name: str
    origin: str
    input: Shape
    calls: tuple[Call, ...]
    outputs: Mapping[str, Ref]
    modules: Mapping[str, str]
    tensors: Mapping[str, TracedTensor]
    value: Callable[[str], Any]
    notes: tuple[str, ...] = ()
