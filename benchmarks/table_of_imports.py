"""Prints the table of docs/importing.md: networks of timm and torchvision as texts, and the length of these texts.

python benchmarks/table_of_imports.py
"""

from __future__ import annotations

import csv
import re
import statistics
import sys
import warnings
from pathlib import Path

import torch

import resnext_dsl as rx
from resnext_dsl.importing.imported import import_source
from resnext_dsl.semantics.spec_files import SHIPPED

ROOT = Path(__file__).parent.parent
ATTENTION = ("vit", "swin", "maxvit")


def main() -> None:
    """Prints a row for each network, and the medians of the ratios."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from references import torchvision

    warnings.simplefilter("ignore")
    with (ROOT / "tests" / "data" / "import_models.csv").open(newline="") as stream:
        listed = [row[0] for row in csv.reader(stream) if row and not row[0].startswith("#")]
    names = torchvision.models.list_models(module=torchvision.models)
    others = [name for name in names if not name.startswith(ATTENTION) and name not in listed]
    to_fx: list[float] = []
    to_shipped: dict[str, float] = {}
    refused = 0
    print("| source | lines | lines of torch.fx | shipped spec | parameters |\n|---|---|---|---|---|")
    for source in [*(f"timm:{name}" for name in listed), *(f"torchvision:{name}" for name in others)]:
        try:
            imported = import_source(source)
        except rx.ArchError as problem:
            refused += 1
            print(f"| {source} | no: {', '.join(_operations(problem))} | | | |")
            continue
        lines, params = _lines(imported.text), rx.loads(imported.text).cost().params
        traced = _traced(imported.module)
        to_fx += [lines / traced] if traced else []
        spec = SHIPPED / f"{source.partition(':')[2]}.arch"
        shipped = _lines_of_spec(spec) if spec.exists() else None
        if shipped is not None:
            to_shipped[source] = lines / shipped
        print(f"| {source} | {lines} | {traced or 'not traced'} | {shipped or ''} | {params:,} |")
    count = len(listed) + len(others)
    print(f"\n{count - refused} of {count} networks are imported.")
    print(f"Lines over those of torch.fx's code: median {statistics.median(to_fx):.3f} of {len(to_fx)} networks.")
    worst = max(to_shipped, key=to_shipped.__getitem__)
    middle = statistics.median(to_shipped.values())
    print(
        f"Lines over those of the shipped spec: median {middle:.2f} of {len(to_shipped)} networks, "
        f"at most {to_shipped[worst]:.2f} ({worst})."
    )


def _lines(text: str) -> int:
    """Lines without blank lines and comments."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in text.splitlines())


def _lines_of_spec(path: Path) -> int:
    """The lines of a shipped spec, and of the spec that it is derived from."""
    text = path.read_text(encoding="utf-8")
    bases = re.findall(r"^(?:from|import) \"(\w+\.arch)\"", text, re.MULTILINE)
    return _lines(text) + sum(_lines_of_spec(path.with_name(base)) for base in bases)


def _traced(module: torch.nn.Module | None) -> int:
    """The lines of the code that torch.fx writes; 0 if it cannot trace the module."""
    try:
        return _lines(torch.fx.symbolic_trace(module).code)  # type: ignore[arg-type]
    except Exception:  # control flow and custom functions raise different exceptions
        return 0


def _operations(problem: rx.ArchError) -> list[str]:
    """The operations that the language lacks."""
    messages = [re.match(r"`(\w+)` in ", diagnostic.message) for diagnostic in problem.diagnostics]
    return sorted({f"`{match[1]}`" for match in messages if match})


if __name__ == "__main__":
    main()
