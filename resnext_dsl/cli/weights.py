"""`resnext-dsl weights`: converts checkpoints of other libraries to the keys of a network, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from resnext_dsl.cli import answers


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
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Convert a checkpoint of torchvision or timm to the keys of a network; keys are matched by structure and shape.

    The command prints the pairs of keys: the network's key, then the checkpoint's. `-o` writes the converted
    checkpoint. `--like` converts in the other direction.

    Example: resnext-dsl weights resnext50_32x4d resnext50_32x4d-1a0047aa.pth -o mine.safetensors
    """
    from resnext_dsl import weights as checkpoints

    with answers.reported():
        network = answers.load(spec, settings, root)
        model = network.compile()
        mapping = checkpoints.load_weights(model, checkpoint)
        converted = model.state_dict()
        if like is not None:
            converted = checkpoints.export_state_dict(model, checkpoints.load_checkpoint(like))
        if output is not None:
            checkpoints.save(output, converted)
        pairs = dict(mapping.rows())
        if as_json:
            answers.print_json({"ok": True, "tensors": len(converted), "file": output, "keys": pairs})
            return
        for ours, theirs in pairs.items():
            typer.echo(f"{ours}  <-  {theirs}")
        written = f"; wrote {output}" if output is not None else ""
        typer.echo(f"{len(pairs)} tensors of {checkpoint} fit {network.name}{written}", err=True)
