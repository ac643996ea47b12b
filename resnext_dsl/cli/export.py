"""`resnext-dsl export`: writes a network in a format that other programs run. `compile --to` uses the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnext_dsl.cli import answers
from resnext_dsl.cli import checkpoint_options as loading
from resnext_dsl.export.targets import TARGETS

if TYPE_CHECKING:
    from resnext_dsl.export.write import Written
    from resnext_dsl.networks.network import Network


class To(StrEnum):
    """The formats, by their names in `TARGETS`."""

    PY = "py"
    PT2 = "pt2"
    AOTI = "aoti"
    ONNX = "onnx"
    OPENVINO = "openvino"


class Form(StrEnum):
    """Spellings of the splits of a network."""

    WRITTEN = "written"
    A = "a"
    B = "b"
    C = "c"
    FASTEST = "fastest"


Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="FILE", help="File to write.  [default: NAME and suffix]")
]
Spelling = Annotated[Form, typer.Option("--form", help="Spelling of splits.")]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="CHECKPOINT", help="Checkpoint: ours, torchvision's or timm's, matched by structure."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, max=2**63 - 1, help="Seed of the initial weights, if no checkpoint gives them.  [default: 0]"
    ),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", help="Device that runs the file: cpu; for `aoti` also cuda or cuda:N."),
]


def export(
    spec: answers.Spec,
    to: Annotated[To, typer.Option("--to", help="Format.")],
    output: Output = None,
    settings: answers.Set = None,
    shape: answers.Input = None,
    batch: Annotated[
        str, typer.Option("--batch", metavar="N", help="Batch size of the file: one number, or `dynamic` for any.")
    ] = "dynamic",
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="TYPE", help="Type of the weights: float32, float16, ...  [default: float32]"),
    ] = None,
    device: Device = "cpu",
    form: Spelling = Form.FASTEST,
    weights: Weights = None,
    ema: loading.Ema = None,
    pairs: loading.Map = None,
    map_file: loading.MapFile = None,
    strict: loading.Strict = False,
    adapt_input: loading.AdaptInput = False,
    reference: loading.Reference = None,
    seed: Seed = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Write a network for other programs: standalone source, torch.export archive, AOTInductor package, ONNX, OpenVINO.

    The file holds the network for inference, without the outputs that exist in training only. The command reads it
    back and runs it beside the module. The file takes its place only if the outputs agree.

    Example: resnext-dsl export resnext50_32x4d --to onnx --weights resnext50_32x4d-1a0047aa.pth -o resnext50.onnx
    """
    options: dict[str, Any] = {
        "form": form.value,
        "seed": seed,
        "device": device,
        "batch": _batch(batch),
        "dtype": dtype,
    }
    with answers.reported(), loading.shown_warnings():
        network = answers.at(answers.load(spec, settings, root), shape)
        answers.show_diagnostics(network.warnings)
        options["weights"] = loading.checkpoint_of(
            weights,
            ema=ema,
            pairs=pairs,
            map_file=map_file,
            strict=strict,
            adapt_input=adapt_input,
            reference=reference,
        )
        written = write(network, to, output, options)
        if as_json:
            answers.print_json(answer(network, written))
        else:
            typer.echo("\n".join(lines(written)))


def write(network: Network, to: str, output: str | None, options: dict[str, Any]) -> Written:
    """Writes a network with the options of a command."""
    target = TARGETS[to]
    with _waiting(f"writing {target.title}"):
        return network.export(to, output or f"{network.name}{target.suffix}", **options)


def lines(written: Written) -> list[str]:
    """The lines of the answer: the files, and how their outputs compare with the module's."""
    compared = written.agreement
    sizes = [f"{file} ({_size(file)})" for file in written.files]
    batches = " and ".join(map(str, dict.fromkeys(compared.batches)))
    outputs = "equal the module's"
    if compared.difference:
        share, limit = f"{compared.difference:.1e}", f"{compared.tolerance:.0e}"
        outputs = f"differ from the module's by {share} of their largest value (limit {limit})"
    load = ["to load it:", *(f"  {line}" for line in written.snippet.splitlines())] if written.snippet else []
    return [f"wrote {', '.join(sizes)}", f"read back: outputs at batch {batches} {outputs}", *load]


def answer(network: Network, written: Written) -> dict[str, Any]:
    """The answer as JSON."""
    return {
        "ok": True,
        "name": network.name,
        "target": written.target,
        "file": str(written.files[0]),
        "files": [str(file) for file in written.files],
        "fingerprint": network.fingerprint,
        "agreement": written.agreement._asdict(),
    }


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _batch(text: str) -> int | str:
    if text == "dynamic":
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        answers.fail(f"`--batch` must be `dynamic` or an int of at least 1; found `{text}`")
    return int(text)


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Shows on a terminal that the command works, with a text."""
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
