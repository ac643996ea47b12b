"""`resnext-dsl import`: writes a torch model or a model file as a spec, with its weights on request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.importing.imported import Imported
    from resnext_dsl.networks.network import Network


def import_(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="timm:NAME, torchvision:NAME, MODULE:FUNCTION, or a file (.pt2, .onnx)."),
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Spec to write (.arch).  [default: print it]")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="File for the weights, with the keys of the spec."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="SHAPE", help="Input shape without batch.  [default: of the library; else 3x224x224]"
        ),
    ] = None,
    choices: Annotated[
        list[str] | None,
        typer.Option(
            "--choice", metavar="NAME=VALUE", help="Argument of the function that builds the model; repeatable."
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run the source and the network on one random input, and compare outputs.")
    ] = False,
    space: Annotated[
        bool, typer.Option("--space", help="Give parameters domains around their values, for searches.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: answers.Json = False,
) -> None:
    """Write a torch model as a spec: stages, templates, repeats and parameters, with the cost of the source.

    The graph comes from torch.fx or torch.export. A `.pt2` or `.onnx` file is read without running anything of it.
    Operations that the language lacks are listed with their places in the source of the model. A SOURCE may stand
    wherever a command takes a SPEC.

    Example: resnext-dsl import timm:resnext50_32x4d -o resnext50.arch --weights resnext50.safetensors
    """
    from resnext_dsl.importing.imported import import_source
    from resnext_dsl.importing.proposed_space import with_domains
    from resnext_dsl.networks.loading import loads

    for path in (output, weights):
        if path is not None and not force and Path(path).exists():
            answers.fail(f"`{path}` exists; `--force` replaces it")
    with answers.reported():
        imported = import_source(
            source, answers.shape_of(shape), answers.values(choices), with_weights=weights is not None or compare
        )
        if space:
            imported = imported._replace(text=with_domains(imported.text))
        network = loads(imported.text)
        answers.show_diagnostics(imported.warnings)
        largest = _compared(imported, network) if compare else None
        if weights is not None:
            _write_weights(imported, network, weights)
        if output is not None:
            _write(imported, output)
        if as_json:
            answers.print_json(_answer(imported, network, output, weights, largest))
        elif output is None:
            typer.echo(imported.text, nl=False)
        _say(network, imported, [path for path in (output, weights) if path is not None], largest)


def _write(imported: Imported, path: str) -> None:
    from resnext_dsl.foundation.atomic import write_text

    write_text(Path(path), imported.text)


def _write_weights(imported: Imported, network: Network, path: str) -> None:
    from resnext_dsl.networks.source_weights import compiled_state, written_state
    from resnext_dsl.weights import save

    save(path, compiled_state(network, written_state(imported, network)))


def _compared(imported: Imported, network: Network) -> float:
    """The largest difference of the outputs, as a share of their largest value."""
    from resnext_dsl.networks.source_weights import largest_difference

    if imported.module is None:
        answers.fail("`--compare` runs a module of torch; a file is read without running it")
    return largest_difference(imported, network)


def _say(network: Network, imported: Imported, written: list[str], largest: float | None) -> None:
    from resnext_dsl.display.stage_table import cost_line

    typer.echo(f"{network.name}: {cost_line(network)}", err=True)
    if largest is not None:
        typer.echo(f"outputs: the largest difference is {largest:.1e} of the largest value", err=True)
    for path in written:
        typer.echo(f"wrote {path}", err=True)


def _answer(
    imported: Imported, network: Network, output: str | None, weights: str | None, largest: float | None
) -> dict[str, Any]:
    cost = network.cost()
    return {
        "ok": True,
        "name": network.name,
        "source": imported.origin,
        "text": imported.text,
        "file": output,
        "weights": weights,
        "difference": largest,
        "cost": {name: getattr(cost, name) for name in ("params", "flops", "macs", "activations")},
        "diagnostics": [diagnostic.to_json() for diagnostic in imported.warnings],
        "fingerprint": network.fingerprint,
    }
