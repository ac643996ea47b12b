"""`resnext-dsl weights`: converts checkpoints of other libraries to the keys of a network, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers
from resnext_dsl.cli import checkpoint_options as options

if TYPE_CHECKING:
    from resnext_dsl.networks.network import Network
    from resnext_dsl.weights import Filled


def weights(
    spec: answers.Spec,
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A .safetensors, .pt or .pth file.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to write: the converted checkpoint.  [default: none]"
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="SOURCE",
            help="Model of the checkpoint (timm:NAME, ...), whose graph pairs the layers; or a checkpoint of the other "
            "library, to convert back to its keys.",
        ),
    ] = None,
    ema: options.Ema = None,
    pairs: options.Map = None,
    map_file: options.MapFile = None,
    strict: options.Strict = False,
    adapt_input: options.AdaptInput = False,
    reference: options.Reference = None,
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Convert a checkpoint of torchvision or timm to the keys of a network; keys are matched by structure and names.

    The command prints the pairs of keys: the network's key, then the checkpoint's. `-o` writes the converted
    checkpoint. `--like` converts in the other direction. Layers that could be exchanged are listed as warnings.

    Example: resnext-dsl weights resnext50_32x4d resnext50_32x4d-1a0047aa.pth -o mine.safetensors
    """
    from resnext_dsl import weights as checkpoints
    from resnext_dsl.importing.sources import is_source
    from resnext_dsl.networks.source_weights import compiled_state

    with answers.reported(), options.shown_warnings():
        network = answers.load(spec, settings, root)
        if like is not None and is_source(like):
            if ema is not None or pairs or map_file or adapt_input or reference:
                answers.fail(
                    "`--like SOURCE` decides alone: leave `--ema`, `--map`, `--adapt-input`, `--reference` out"
                )
            _like_source(network, checkpoint, like, output, strict, as_json)
            return
        chosen = options.checkpoint_of(
            checkpoint,
            ema=ema,
            pairs=pairs,
            map_file=map_file,
            strict=strict,
            adapt_input=adapt_input,
            reference=reference,
        )
        assert chosen is not None
        model = network.compile(form="written", device="meta")
        filled = checkpoints.load_weights(model, chosen, network.ir)
        converted = compiled_state(network, model.state_dict())
        if like is not None:
            converted = checkpoints.export_state_dict(model, checkpoints.load_checkpoint(like))
        if output is not None:
            checkpoints.save(output, converted)
        keys = _keys(network, filled)
        if as_json:
            answers.print_json(
                {
                    "ok": True,
                    "tensors": len(converted),
                    "file": output,
                    "keys": keys,
                    "ignored": list(filled.ignored),
                    "diagnostics": [diagnostic.to_json() for diagnostic in filled.warnings],
                }
            )
            return
        for ours, theirs in keys.items():
            typer.echo(f"{ours}  <-  {theirs}")
        if filled.compared:
            largest = max(difference.after for difference in filled.compared)
            compared = f"{len(filled.compared)} layers compute the values of the reference"
            typer.echo(f"{compared}; the largest difference is {largest:.1e} of the largest value", err=True)
        ignored = f"; {len(filled.ignored)} that are no part of a network are left out" if filled.ignored else ""
        written = f"; wrote {output}" if output is not None else ""
        typer.echo(f"{len(keys)} tensors of {checkpoint} fit {network.name}{ignored}{written}", err=True)


def _like_source(network: Network, checkpoint: str, like: str, output: str | None, strict: bool, as_json: bool) -> None:
    """Pairs the layers through the graph of the checkpoint's model, and answers."""
    from resnext_dsl import weights as checkpoints
    from resnext_dsl.compare.like_source import weights_like
    from resnext_dsl.foundation.diagnostics import WeightsError
    from resnext_dsl.foundation.options import DEFAULTS
    from resnext_dsl.importing.imported import import_source
    from resnext_dsl.networks.loading import network_of
    from resnext_dsl.networks.source_weights import compiled_state
    from resnext_dsl.semantics.spec_files import text_source

    imported = import_source(like)
    source = network_of(text_source(imported.text, like, DEFAULTS), None, DEFAULTS, {})
    paired = weights_like(network, source, imported, checkpoints.load_checkpoint(checkpoint), checkpoint)
    if strict and paired.warnings:
        raise WeightsError([warning._replace(severity="error") for warning in paired.warnings])
    answers.show_diagnostics(paired.warnings)
    if output is not None:
        checkpoints.save(output, compiled_state(network, paired.state))
    if as_json:
        answers.print_json(
            {
                "ok": True,
                "tensors": len(paired.state),
                "file": output,
                "keys": paired.keys,
                "ignored": [],
                "diagnostics": [diagnostic.to_json() for diagnostic in paired.warnings],
            }
        )
        return
    for ours, theirs in paired.keys.items():
        typer.echo(f"{ours}  <-  {theirs}")
    written = f"; wrote {output}" if output is not None else ""
    typer.echo(
        f"{len(paired.keys)} tensors of {checkpoint} fit {network.name} by the graph of {like}{written}", err=True
    )


def _keys(network: Network, filled: Filled) -> dict[str, str]:
    """Each key of the compiled network with the checkpoint's keys that give its values."""
    moves = network.rewrite().weights
    theirs = dict(filled.key_map.rows())
    sources = {tensor: [theirs[key]] for key, tensor in moves.before.items() if key in theirs}
    for step in moves.steps:
        taken = [key for source in step.sources for key in sources.get(source, ())]
        sources.update(dict.fromkeys(step.targets, taken))
    return {key: ", ".join(dict.fromkeys(filter(None, sources.get(tensor, ())))) for key, tensor in moves.after.items()}
