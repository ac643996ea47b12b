"""Reads an archive of torch.export (`.pt2`) as a trace, without torch's loader, which unpickles parts of archives.

An archive has the graph of ATen operators as JSON, with the names of their arguments, their modules and their lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnext_dsl.importing.archive_calls import ArchiveCalls
from resnext_dsl.importing.archive_file import ArchiveFile
from resnext_dsl.importing.archive_tensors import (
    NUMBER_TYPES,
    ArchiveTensor,
    constants_of,
    is_float,
    weights_of,
)
from resnext_dsl.importing.model_file import (
    MAX_NUMBER,
    check_shape,
    clean,
    network_name,
    of_another_version,
    unreadable,
    untranslated,
)
from resnext_dsl.importing.response_norm import with_response_norms
from resnext_dsl.importing.trace import INPUT, Ref, Stored, Trace, TracedTensor
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    import torch

SCHEMA = 8
"""The major version of the text of graphs. Source: `SCHEMA_VERSION` of torch 2.13."""

MAX_NODES = 100_000
"""The most operations of a graph."""


def read_archive(path: Path, shape: Shape | None = None) -> Trace:
    """The trace of an archive.

    Args:
        path: A file of `torch.export.save`.
        shape: The shape of the input without the batch; the archive states its own, and another one is an error.

    Raises:
        ArchError: E621 if the file is damaged. E622 if it is of another version. E623 if the graph needs content that
            is pickled. E624 with every operation that has no place in a trace.
    """
    archive = ArchiveFile(path)
    try:
        trace = _trace(archive)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError):
        raise unreadable(path, "its graph is not written as torch writes it") from None
    check_shape(path, trace.input, shape)
    return trace


def _trace(archive: ArchiveFile) -> Trace:
    model = _only_model(archive)
    program = archive.json(f"models/{model}.json")
    _check_version(archive, program)
    graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
    if len(graph["nodes"]) > MAX_NODES:
        raise unreadable(archive.path, f"its graph has more than {MAX_NODES} operations")
    weights, constants = weights_of(archive, model), constants_of(archive, model)
    stored = _Stored(archive, weights, constants)
    image = stored.bind(signature["input_specs"])
    shape, batch = _input(archive, graph["tensor_values"][image])
    calls = ArchiveCalls({image: INPUT, **stored.values}, graph, batch)
    for node in graph["nodes"]:
        calls.add(node)
    outputs = _outputs(archive, signature["output_specs"], calls)
    if calls.problems:
        raise untranslated(archive.path, calls.problems)
    joined, outputs = with_response_norms(calls.calls, outputs)
    version = clean(str(program.get("torch_version", "")), 40)
    return Trace(
        network_name(archive.path),
        f"{clean(archive.path.name)} (torch.export of torch {version})",
        shape,
        tuple(joined),
        outputs,
        calls.modules,
        stored.tensors,
        stored.value,
        tuple(calls.notes),
    )


def _only_model(archive: ArchiveFile) -> str:
    """The name of the one model."""
    models = [name[len("models/") : -len(".json")] for name in archive.names(r"models/\w{1,100}\.json")]
    if not models and archive.names(r"data/aotinductor/.*"):
        raise of_another_version(
            archive.path,
            "it is a package of AOTInductor, which has compiled code and no graph",
            "import the archive that `torch.export.save` writes, or the module itself",
        )
    if len(models) != 1:
        raise of_another_version(archive.path, f"it has {len(models)} models, and one is read")
    return models[0]


def _check_version(archive: ArchiveFile, program: Mapping[str, Any]) -> None:
    version = program["schema_version"]
    if version["major"] != SCHEMA:
        raise of_another_version(
            archive.path,
            f"its graph has version {version['major']}.{version['minor']}, and version {SCHEMA} is read",
            "save it again with `torch.export.save` of torch 2.9 to 2.13",
        )


def _input(archive: ArchiveFile, meta: Mapping[str, Any]) -> tuple[Shape, str | int]:
    """The shape of the input without the batch, and the batch: a symbol of the archive or the size it is fixed to."""
    batch, *sizes = [_size(size) for size in meta["sizes"]]
    if not is_float(NUMBER_TYPES.get(meta["dtype"], ("another type", 0))[0]):
        raise unreadable(archive.path, "the input of the network is not a tensor of floating-point numbers")
    if not sizes or not all(isinstance(size, int) and 0 < size < MAX_NUMBER for size in sizes):
        raise of_another_version(
            archive.path,
            f"the input has the sizes {sizes} after the batch, and only the batch may vary",
            "export the module with fixed sizes for all but the first dimension",
        )
    return tuple(size for size in sizes if isinstance(size, int)), batch


SYMBOL = re.compile(r"Symbol\('(\w{1,40})'[^()]*\)")
"""A size that varies, alone."""


def _size(size: Mapping[str, Any]) -> int | str:
    """A size of a tensor: a number, the name of a symbol, or the text of an expression."""
    if "as_int" in size:
        number = size["as_int"]
        if type(number) is not int:
            raise TypeError("a size")
        return number
    text = str(size["as_expr"]["expr_str"])
    symbol = SYMBOL.fullmatch(text)
    return symbol[1] if symbol else text


class _Stored:
    """The tensors that the graph reads, under the names of its arguments."""

    def __init__(
        self, archive: ArchiveFile, weights: Mapping[str, ArchiveTensor], constants: Mapping[str, ArchiveTensor]
    ) -> None:
        self._archive = archive
        self._places = {**constants, **weights}
        self.values: dict[str, Stored] = {}
        self.tensors: dict[str, TracedTensor] = {}

    def bind(self, inputs: list[Mapping[str, Any]]) -> str:
        """Takes the arguments of the graph; returns the name of the input of the network."""
        images = []
        for specification in inputs:
            ((kind, content),) = specification.items()
            if kind == "user_input" and "as_tensor" in content["arg"]:
                images.append(content["arg"]["as_tensor"]["name"])
            elif kind in {"parameter", "buffer"}:
                self._add(content["arg"]["name"], content[f"{kind}_name"], kind)
            elif kind == "tensor_constant":
                self._add(content["arg"]["name"], content["tensor_constant_name"], "constant")
            else:
                raise of_another_version(self._archive.path, f"its graph has an argument of kind `{clean(kind)}`")
        if len(images) != 1:
            raise of_another_version(self._archive.path, f"the network has {len(images)} inputs, and one is read")
        return str(images[0])

    def value(self, key: str) -> torch.Tensor:
        """A tensor by its key."""
        return self._places[key].read(self._archive)

    def _add(self, argument: str, key: str, kind: str) -> None:
        place = self._places.get(key)
        if place is None:
            raise unreadable(self._archive.path, f"the archive has no tensor `{key}`")
        self.values[argument] = Stored(key)
        self.tensors[key] = place.described(kind)


def _outputs(archive: ArchiveFile, outputs: list[Mapping[str, Any]], calls: ArchiveCalls) -> dict[str, Ref]:
    """The outputs of the network; updates of buffers in training mode are none."""
    values: dict[str, Ref] = {}
    for specification in outputs:
        ((kind, content),) = specification.items()
        if kind == "buffer_mutation":
            continue
        if kind != "user_output":
            raise of_another_version(archive.path, f"its graph has an output of kind `{clean(kind)}`")
        if "as_none" in content["arg"]:
            continue
        value = calls.value(content["arg"]["as_tensor"]["name"])
        if not isinstance(value, Ref):
            raise of_another_version(archive.path, "an output of the network is a stored tensor")
        values["main" if not values else f"output_{len(values)}"] = value
    if not values:
        raise of_another_version(archive.path, "the network has no output")
    return values
