"""`resnext-dsl compile`: compiles a spec to PyTorch source or to another format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnext_dsl.cli import answers, export
from resnext_dsl.cli import checkpoint_options as loading
from resnext_dsl.export.targets import TARGETS

if TYPE_CHECKING:
    from resnext_dsl.export.write import Written
    from resnext_dsl.graph.ir import Graph
    from resnext_dsl.networks.network import Network
    from resnext_dsl.rewrite import Rewritten


def compile_(
    spec: answers.Spec,
    to: Annotated[export.To, typer.Option("--to", help="Format; `export` has more options.")] = export.To.PY,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to write; `-` prints source.  [default: NAME and suffix]"
        ),
    ] = None,
    settings: answers.Set = None,
    budgets: answers.Budgets = None,
    form: export.Spelling = export.Form.FASTEST,
    weights: export.Weights = None,
    ema: loading.Ema = None,
    pairs: loading.Map = None,
    map_file: loading.MapFile = None,
    strict: loading.Strict = False,
    adapt_input: loading.AdaptInput = False,
    reference: loading.Reference = None,
    seed: export.Seed = None,
    device: export.Device = "cpu",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print merged paths and their saving, and splits left alone with the reason."),
    ] = False,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Check a spec, show its stage table and budgets, and write it: as PyTorch source (NAME.py) by default.

    The closed-form cost must equal fvcore's count on the compiled module. Nothing is written if a budget is exceeded.

    Example: resnext-dsl compile resnext50_32x4d -o model.py
    """
    from resnext_dsl.display import stage_table as report

    aside = output == "-" or as_json
    spelling = form.value
    options: dict[str, Any] = {"form": spelling, "seed": seed, "device": device}
    with answers.reported(), loading.shown_warnings():
        network, held = answers.budgeted(answers.load(spec, settings, root), budgets)
        TARGETS[to].require_modules()
        usage = network.usage(*held)
        answers.show_diagnostics(network.warnings)
        report.print_table(network, report.stage_table(network, 1), to_error=aside)
        _hold(network)
        for line in report.budget_lines(usage):
            typer.echo(line, err=aside)
        network.check(*held)
        options["weights"] = loading.checkpoint_of(
            weights,
            ema=ema,
            pairs=pairs,
            map_file=map_file,
            strict=strict,
            adapt_input=adapt_input,
            reference=reference,
        )
        if explain and not as_json:
            typer.echo("\n".join(_explained(network, to, spelling)), err=aside)
        if output == "-" and to == "py":
            typer.echo(_source(network, options), nl=False)
            return
        written = export.write(network, to, output, options)
        if not as_json:
            _say(written)
            return
        answer = _answer(network, written)
        if explain:
            from resnext_dsl.rewrite.explain import as_json as report_as_json

            answer["rewriting"] = report_as_json(*_rewriting(network, to, spelling))
        answers.print_json(answer)


def _hold(network: Network) -> None:
    """Compares the closed-form cost with fvcore's count on the compiled module."""
    from resnext_dsl.costs.fvcore_count import agree, measure

    agree(network.cost(), measure(network.compile(form="written", device="meta"), network.ir.nodes[0].shape))


def _source(network: Network, options: dict[str, Any]) -> str:
    """The PyTorch source of a network."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written = export.write(network, "py", f"{folder}/{network.name}.py", options)
        return written.files[0].read_text(encoding="utf-8")


def _rewriting(network: Network, to: str, form: str) -> tuple[Graph, Rewritten]:
    """The graph as written, and its rewriting to the form and mode of a target."""
    mode = "inference" if TARGETS[to].dtypes else "train"
    return network.ir, network.rewrite(form, mode)


def _explained(network: Network, to: str, form: str) -> list[str]:
    from resnext_dsl.rewrite.explain import explain

    return explain(*_rewriting(network, to, form))


def _answer(network: Network, written: Written) -> dict[str, Any]:
    if written.target != "py":
        return export.answer(network, written)
    return {"ok": True, "name": network.name, "file": str(written.files[0]), "fingerprint": network.fingerprint}


def _say(written: Written) -> None:
    if written.target == "py":
        count = len(written.files[0].read_text(encoding="utf-8").splitlines())
        typer.echo(f"wrote {written.files[0]} ({count} lines)")
    else:
        typer.echo("\n".join(export.lines(written)))
