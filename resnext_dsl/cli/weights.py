"""`resnext-dsl weights`: checkpoints from other libraries to ours and back."""

from __future__ import annotations

from typing import Annotated

import typer

from resnext_dsl.cli import answers


def weights(
    spec: answers.Spec,
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A .safetensors, .pt or .pth file.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the converted checkpoint here.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="FILE", help="Convert back: to the keys of this checkpoint of theirs."),
    ] = None,
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Map a checkpoint of torchvision or timm onto a network of ours, by structure, every shape checked.

    Prints which of their keys goes to which of ours; with `-o` writes the converted checkpoint, with `--like` the
    other way round.

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
