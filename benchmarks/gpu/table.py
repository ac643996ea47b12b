"""The Markdown of a result file, for docs/bench.md: environment, checks of `truth`, tables of `tax`."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.record import Entry, environment_text, lines_table, of_kind

MILLISECONDS, MICROSECONDS = 1e3, 1e6


def tables(entries: list[Entry]) -> str:
    """The tables of a run.

    Raises:
        ValueError: For the file of a dry run, which has no figures.
    """
    if entries[0]["dry"]:
        raise ValueError("this is the file of a dry run: it has no figures")
    measured = of_kind(entries, "measurement")
    parts = [environment_text(entries)]
    kinds = {
        "floors": _floors,
        "networks": _networks,
        "layers": _layers,
        "kernels": _kernels,
        "kernel networks": _kernel_networks,
    }
    for name, table in kinds.items():
        chosen = [entry for entry in measured if entry.get("table") == name]
        if chosen:
            parts.append(table(chosen))
    lines = of_kind(entries, "line")
    if entries[0]["command"] in ("tax", "kernels"):  # their checks repeat the tables
        lines = [line for line in lines if line["state"] != "ok"]
    if lines:
        parts.append(lines_table(lines))
    return "\n\n".join("\n".join(part) for part in parts)


def _floors(rows: list[Entry]) -> list[str]:
    """The best copy and the best product of the run."""
    copied = max(2 * row["copy_bytes"] / min(row["copy"]) for row in rows)
    multiplied = max(2 * row["product_rows"] ** 3 / min(row["product"]) for row in rows)
    return [f"A copy reads and writes {copied / 1e9:.0f} GB/s; a product in bf16 does {multiplied / 1e12:.0f} TFLOP/s."]


def _networks(rows: list[Entry]) -> list[str]:
    """A row for each variant of each case."""
    text = [
        "bf16, cudnn.benchmark on; ratios are over the first row of a case, in interleaved rounds.",
        "",
        "| network | mode | batch | variant | layout | ms | ratio (quartiles) |",
        "|---|---|---:|---|---|---:|---:|",
    ]
    for row in rows:
        variant = row["variant"].replace("peer", row["peer"])
        cells = (row["network"], row["mode"], str(row["batch"]), variant, row["layout"])
        ms = f"{MILLISECONDS * row['seconds']['median']:.2f}"
        text.append("| " + " | ".join([*cells, ms, _spread(row["ratio"])]) + " |")
    return text


def _layers(rows: list[Entry]) -> list[str]:
    """A row for each layer and direction, the layouts beside each other."""
    text = [
        "| grouped 3x3 | batch | direction | floor by bytes, us | by FLOPs, us "
        "| channels_last, us | times of floor | contiguous, us | times of floor |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    by_direction: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        by_direction.setdefault((row["what"], row["direction"]), {})[row["layout"]] = row
    for (what, direction), layouts in by_direction.items():
        one = next(iter(layouts.values()))
        floor = max(one["floor_bytes"], one["floor_flops"])
        cells = [what, str(one["batch"]), direction, _us(one["floor_bytes"]), _us(one["floor_flops"])]
        for layout in ("channels_last", "contiguous"):
            row = layouts.get(layout)
            median = row["seconds"]["median"] if row else None
            cells += ["-", "-"] if median is None else [_us(median), f"{median / floor:.1f}"]
        text.append("| " + " | ".join(cells) + " |")
    return text


def _spread(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


def _us(seconds: float) -> str:
    return f"{MICROSECONDS * seconds:.1f}"


def _kernels(rows: list[Entry]) -> list[str]:
    """A row for each layer and direction: torch's kernel in its better layout, ours, and the floor."""
    text = [
        f"bf16, batch {rows[0]['batch']}; a dash: torch's kernel is faster.",
        "",
        "| grouped 3x3 | direction | floor, us | torch, us | ours, us | ours / torch | our kernel |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    cases: dict[tuple[str, str], list[Entry]] = {}
    for row in rows:
        cases.setdefault((row["what"], row["direction"]), []).append(row)
    for (layer, direction), measured in cases.items():
        times = {row["kernel"]: MICROSECONDS * row["seconds"]["median"] for row in measured}
        theirs = min(time for name, time in times.items() if name.startswith("torch"))
        ours = [(time, name) for name, time in times.items() if not name.startswith("torch")]
        floor = f"{MICROSECONDS * measured[0]['floor']:.0f}"
        cells = ["-", "-", "-"]
        if ours:
            (own, name), *_ = ours
            cells = [f"{own:.0f}", f"{own / theirs:.2f}", name]
        text.append("| " + " | ".join([layer, direction, floor, f"{theirs:.0f}", *cells]) + " |")
    return text


def _kernel_networks(rows: list[Entry]) -> list[str]:
    """A row for each way of each network."""
    text = ["| case | way | ms | ratio (quartiles) |", "|---|---|---:|---:|"]
    for row in rows:
        ms = f"{MILLISECONDS * row['seconds']['median']:.2f}"
        text.append("| " + " | ".join([row["what"], row["way"], ms, _spread(row["ratio"])]) + " |")
    return text
