"""A torch model or a model file as the text of a spec, with the way of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnext_dsl.arch_text import arch_text
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.lowering import Lowered, lower
from resnext_dsl.importing.lowering.fixed_weights import WITHOUT_VALUES
from resnext_dsl.importing.source_files import read_file
from resnext_dsl.importing.sources import FILES, is_source, torch_model
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    from torch import nn


class Imported(NamedTuple):
    """An imported model.

    Attributes:
        text: The text of its spec.
        origin: The source with its version.
        lowered: Its graph as it was read, with the keys of the weights.
        order: For each node of the graph of the text, the index of its node in the graph as it was read.
        module: The module; None for a file.
    """

    text: str
    origin: str
    lowered: Lowered
    order: tuple[int, ...]
    module: nn.Module | None = None

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The facts that the source does not tell, or fixes to the example."""
        return tuple(Diagnostic("W921", note, severity="warning", file=self.origin) for note in self.lowered.notes)


def import_source(
    source: str, shape: Shape | None = None, choices: Mapping[str, Any] | None = None, with_weights: bool = False
) -> Imported:
    """Imports a source.

    Args:
        source: `timm:NAME`, `torchvision:NAME`, `MODULE:FUNCTION`, or the path of a `.pt2` or `.onnx` file.
        shape: The input shape without the batch; None for that of the library or the file.
        choices: Arguments of the function that builds the module.
        with_weights: Whether the weights are needed. Without them, the module of a library needs no memory.

    Raises:
        ArchError: E605, E606 or E708 if the source is none or the module cannot be built, codes of the file if it
            cannot be read, or the errors of `import_module`.
    """
    if not is_source(source):
        hint = "sources: timm:NAME, torchvision:NAME, MODULE:FUNCTION, FILE.pt2, FILE.onnx"
        raise error("E708", f"`{source}` is not the source of a model", hint=hint, file=source)
    if source.lower().endswith(FILES):
        trace = read_file(source, shape)
        return _imported(lower(trace), trace.origin)
    model = torch_model(source, shape, choices, with_weights)
    try:
        return import_module(model.module, model.input, model.name, model.origin)
    except ArchError as problem:
        if with_weights or not any(WITHOUT_VALUES in diagnostic.message for diagnostic in problem.diagnostics):
            raise
    return import_source(source, shape, choices, with_weights=True)


def import_module(module: nn.Module, shape: Shape, name: str, origin: str) -> Imported:
    """Imports a torch module.

    Args:
        module: The module; it is not changed.
        shape: The input shape without the batch.
        name: The name of the network.
        origin: The source with its version, for the first line of the text.

    Raises:
        ArchError: If the module cannot be traced, or has operations that the language lacks; the exception lists all
            of them.
    """
    from resnext_dsl.importing.module_reading import read_module

    lowered = read_module(module, shape, name, origin)
    return _imported(lowered, origin)._replace(module=module)


def _imported(lowered: Lowered, origin: str) -> Imported:
    comment = f"Imported from {origin}."
    written = arch_text(lowered.graph, comment=comment, projections=True)
    return Imported(written.text, origin, lowered, written.order)
