"""`resnext-dsl weights`: converts checkpoints of other libraries to the keys of a network, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers
from resnext_dsl.cli import checkpoint_options as options

if TYPE_CHECKING:
    from torch import Tensor, nn

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
        typer.Option("--like", metavar="FILE", help="Checkpoint of the other library, to convert back to its keys."),
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

    with answers.reported(), options.shown_warnings():
        network = answers.load(spec, settings, root)
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
        converted = _compiled(network, model)
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


def _compiled(network: Network, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a network as written, under the keys of the compiled network."""
    from resnext_dsl.rewrite.carry import carry

    return carry(network.rewrite().weights, model.state_dict())


def _keys(network: Network, filled: Filled) -> dict[str, str]:
    """Each key of the compiled network with the checkpoint's keys that give its values."""
    moves = network.rewrite().weights
    theirs = dict(filled.key_map.rows())
    sources = {tensor: [theirs[key]] for key, tensor in moves.before.items() if key in theirs}
    for step in moves.steps:
        taken = [key for source in step.sources for key in sources.get(source, ())]
        sources.update(dict.fromkeys(step.targets, taken))
    return {key: ", ".join(dict.fromkeys(filter(None, sources.get(tensor, ())))) for key, tensor in moves.after.items()}
