"""`resnext-dsl export`: a network in a format that other programs run; `compile --to` writes by the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnext_dsl.cli import answers
from resnext_dsl.export.targets import TARGETS

if TYPE_CHECKING:
    from resnext_dsl.export.write import Written
    from resnext_dsl.networks.network import Network


class To(StrEnum):
    """The formats: the names of `TARGETS`."""

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
    str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write; NAME and a suffix by default.")
]
Spelling = Annotated[Form, typer.Option("--form", help="The spelling of splits.")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="CHECKPOINT", help="Its weights: ours, torchvision's or timm's, by structure."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Of initial weights, where none are given; 0.")
]


def export(
    spec: answers.Spec,
    to: Annotated[To, typer.Option("--to", help="The format.")],
    output: Output = None,
    settings: answers.Set = None,
    shape: answers.Input = None,
    batch: Annotated[
        str, typer.Option("--batch", metavar="N", help="`dynamic`, or the one batch size that it takes.")
    ] = "dynamic",
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="TYPE", help="Of the weights: float32 (default), float16, ...")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="cpu; for `aoti` also cuda or cuda:N, which it is run on.")
    ] = "cpu",
    form: Spelling = Form.FASTEST,
    weights: Weights = None,
    seed: Seed = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Write a network for other programs: standalone source, torch.export archive, AOTInductor package, ONNX, OpenVINO.

    For inference, without the outputs that exist in training only. What was written is read back and run beside the
    module; it takes its place only if the outputs agree.

    Example: resnext-dsl export resnext50_32x4d --to onnx --weights resnext50_32x4d-1a0047aa.pth -o resnext50.onnx
    """
    options = {"form": form.value, "weights": weights, "seed": seed, "device": device}
    options |= {"batch": _batch(batch), "dtype": dtype}
    with answers.reported():
        network = answers.at(answers.load(spec, settings, root), shape)
        answers.show_diagnostics(network.warnings)
        written = write(network, to, output, options)
        if as_json:
            answers.print_json(answer(network, written))
        else:
            typer.echo("\n".join(lines(written)))


def write(network: Network, to: str, output: str | None, options: dict[str, Any]) -> Written:
    """Writes a network as a command asks for it."""
    target = TARGETS[to]
    with _waiting(f"writing {target.title}"):
        return network.export(to, output or f"{network.name}{target.suffix}", **options)


def lines(written: Written) -> list[str]:
    """What was written, and how it compares."""
    compared = written.agreement
    sizes = [f"{file} ({_size(file)})" for file in written.files]
    batches = " and ".join(map(str, dict.fromkeys(compared.batches)))
    found = "equal the module's"
    if compared.difference:
        share, limit = f"{compared.difference:.1e}", f"{compared.tolerance:.0e}"
        found = f"differ from the module's by {share} of their largest value (limit {limit})"
    return [f"wrote {', '.join(sizes)}", f"read back: outputs at batch {batches} {found}"]


def answer(network: Network, written: Written) -> dict[str, Any]:
    """The same as JSON."""
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
        answers.fail(f"`--batch {text}` is neither `dynamic` nor a number from 1")
    return int(text)


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Says on a terminal what takes so long."""
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
