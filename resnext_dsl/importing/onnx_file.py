"""Opens an ONNX file: a message of protobuf with one graph of operators of the standard domain."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.model_file import MAX_NUMBER, clean, of_another_version, size_of, unreadable
from resnext_dsl.importing.onnx_tensors import NUMBER_TYPES
from resnext_dsl.importing.onnx_wire import check_structure
from resnext_dsl.operators.base import Shape

OPSETS = (7, 25)
"""The first and the last version of the operator set that is read."""

MAX_NODES = 20_000
"""The most operators of a graph; a network of 1,000 layers has some 5,000."""

STANDARD = ("", "ai.onnx")
"""The names of the domain of the standard operators."""


class OnnxInput(NamedTuple):
    """The input of the network.

    Attributes:
        name: Its name.
        shape: Its shape without the batch.
        batch: The size of the batch that the file fixes; None if the batch varies.
        dtype: The type of its numbers, by its name in torch.
    """

    name: str
    shape: Shape
    batch: int | None
    dtype: str


class OnnxFile(NamedTuple):
    """A checked file.

    Attributes:
        path: The file.
        model: Its message.
        opset: The version of the operator set.
        input: The input of the network.
        functions: (domain, name) -> a function that the file defines.
    """

    path: Path
    model: Any
    opset: int
    input: OnnxInput
    functions: Mapping[tuple[str, str], Any]

    @property
    def origin(self) -> str:
        """The file and the program that wrote it."""
        writer = " ".join(clean(text, 40) for text in (self.model.producer_name, self.model.producer_version) if text)
        return f"{clean(self.path.name)} (ONNX opset {self.opset}{f' of {writer}' if writer else ''})"


def open_onnx(path: Path, shape: Shape | None) -> OnnxFile:
    """The content of a file.

    Args:
        path: The file.
        shape: The shape of the input without the batch, for a file that leaves it open.

    Raises:
        ArchError: E605 without the library `onnx`, E621 if the file is damaged or too large, E622 if its operators are
            of another version or domain, or if the shape of its input is open or another one.
    """
    size_of(path)
    if find_spec("onnx") is None:
        hint = "install it: pip install 'resnext-dsl[export]'"
        raise error("E605", "`onnx` is not installed; reading an ONNX file needs it", file=str(path), hint=hint)
    model = _parsed(path)
    opset = _opset(path, model)
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        raise unreadable(path, f"its graph has more than {MAX_NODES} operators")
    if graph.sparse_initializer or model.training_info or graph.quantization_annotation:
        raise of_another_version(path, "it has sparse tensors, quantized tensors or steps of training")
    functions = {(function.domain, function.name): function for function in model.functions}
    return OnnxFile(path, model, opset, _input(path, graph, shape), functions)


def _parsed(path: Path) -> Any:
    import onnx

    try:
        content = path.read_bytes()
    except OSError as reason:
        raise unreadable(path, (reason.strerror or str(reason)).lower()) from None
    check_structure(path, content)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf has several implementations with errors of their own
        raise unreadable(path, "it is damaged or truncated") from None
    if not _is_text(model):
        raise unreadable(path, "it has names that are not valid UTF-8")
    return model


def _is_text(message: Any) -> bool:
    """Whether all texts of a message are valid: protobuf gives others as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if not all(isinstance(text, str) for text in ([value] if isinstance(value, str | bytes) else value)):
                return False
        elif field.type == field.TYPE_MESSAGE:
            parts = [value] if hasattr(value, "ListFields") else value
            if not all(_is_text(part) for part in parts):
                return False
    return True


def _opset(path: Path, model: Any) -> int:
    """The version of the standard operators."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = max((versions[domain] for domain in STANDARD if domain in versions), default=0)
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise of_another_version(
            path,
            f"its operators have version {opset}; versions {OPSETS[0]} to {OPSETS[1]} are read",
            "export it again with `opset_version=18`, or convert it with `onnx.version_converter`",
        )
    return int(opset)


def _input(path: Path, graph: Any, asked: Shape | None) -> OnnxInput:
    """The one input of the network."""
    stored = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in stored]
    if len(images) != 1:
        names = ", ".join(f"`{clean(value.name, 40)}`" for value in images[:5])
        raise of_another_version(path, f"the network has {len(images)} inputs, and one is read: {names}")
    (image,) = images
    title = f"the input `{clean(image.name)}`"
    if not image.type.HasField("tensor_type"):
        raise of_another_version(path, f"{title} is not a tensor")
    kind = NUMBER_TYPES.get(image.type.tensor_type.elem_type)
    if kind is None or "float" not in kind.name:
        raise of_another_version(path, f"{title} is not a tensor of floating-point numbers")
    dims = list(image.type.tensor_type.shape.dim)
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    if len(sizes) < 2 and asked is None:
        raise of_another_version(path, f"{title} has no shape", "give the shape without the batch, such as 3x224x224")
    batch, *rest = sizes or [None]
    shape = _shape(path, title, rest, asked)
    if batch is not None and not 0 < batch < MAX_NUMBER:
        batch = None
    return OnnxInput(image.name, shape, batch, kind.name)


def _shape(path: Path, title: str, sizes: list[int | None], asked: Shape | None) -> Shape:
    """The shape that the file states, completed by the shape that the caller asks for."""
    stated = "x".join("?" if size is None else str(size) for size in sizes)
    if asked is not None and sizes and not _agree(sizes, asked):
        raise of_another_version(path, f"{title} is {stated}, not {'x'.join(map(str, asked))}")
    shape = asked or tuple(size for size in sizes if size is not None)
    if len(shape) < len(sizes):
        raise of_another_version(
            path, f"{title} is {stated} after the batch", "give the shape without the batch, such as 3x224x224"
        )
    if not all(0 < size < 1 << 20 for size in shape):
        raise of_another_version(path, f"{title} is {'x'.join(map(str, shape))}")
    return shape


def _agree(sizes: list[int | None], asked: Shape) -> bool:
    """Whether a shape has each size that the file states."""
    return len(asked) == len(sizes) and all(size in {None, other} for size, other in zip(sizes, asked, strict=True))
