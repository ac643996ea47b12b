"""Prints the table of docs/networks.md: parameters, FLOPs, lines of the spec and of the reference's Python.

Lines are lines of code on both sides, without blank lines, comments and docstrings. A spec counts with the specs it
derives from and the library templates it uses. The Python counts with every class and function of the reference's model
file that the network needs (reference_python.csv).

python benchmarks/table_of_networks.py
"""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import torch

import resnext_dsl as rx
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.nodes import File, Import, Template
from resnext_dsl.syntax.parse import parse

SPECS = Path(__file__).parent.parent / "specs"
REFERENCES = Path(__file__).parent / "reference_python.csv"


def main() -> None:
    """Prints the table, one line for each shipped network."""
    declare_torchvision_operators()
    print("| network | parameters | FLOPs | lines of spec | lines of reference Python | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    names = sorted((path.stem for path in SPECS.glob("*.arch")), key=natural)
    for name in names:
        print(row(name))
    for name in names:
        print(without_auxiliary_heads(name), end="")


def row(name: str) -> str:
    """One line of the table."""
    cost = rx.load(name).cost()
    spec = spec_lines(name)
    library, python = reference_lines(name)
    shown = f"{python} ({library}) | {spec / python:.2f}" if python else "- | -"
    return f"| {name} | {cost.params:,} | {cost.flops:,} | {spec} | {shown} |"


def without_auxiliary_heads(name: str) -> str:
    """A line below the table for a network with outputs in training only; "" for the others."""
    network = rx.load(name)
    cost, auxiliary = network.cost(), [output.name for output in network.ir.outputs if output.training_only]
    heads = sum(stage.params for part, stage in cost.by_stage().items() if part in auxiliary)
    return f"\n{name} has {cost.params - heads:,} parameters without its auxiliary heads.\n" if heads else ""


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts resnet50 before resnet101."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def declare_torchvision_operators() -> None:
    """Declares two operators that torchvision cannot load beside a CPU build of torch; its models need neither."""
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(declared)


KEPT: list[torch.library.Library] = []  # definitions are dropped with the library object


# --- lines of specs ---


def spec_lines(name: str) -> int:
    """Lines of code of a spec, of the specs it derives from and of the library templates it uses."""
    lines: set[tuple[str, int]] = set()
    for file, first, last in spec_stretches(SPECS / f"{name}.arch", None):
        text = file.read_text(encoding="utf-8").splitlines()
        lines |= {(file.as_posix(), n) for n in range(first, last + 1) if is_code(text[n - 1])}
    return len(lines)


def is_code(line: str) -> bool:
    """Whether a line holds anything but a comment."""
    return bool(line.strip()) and not line.strip().startswith("#")


def spec_stretches(file: Path, wanted: set[str] | None) -> Iterator[tuple[Path, int, int]]:
    """First and last lines of the used parts of a file and its imports; of the whole file if `wanted` is None."""
    tree = parse(Source(file.name, file.read_text(encoding="utf-8")))
    templates = {item.name.text: item for item in tree.items if isinstance(item, Template)}
    if wanted is None:
        yield file, 1, tree.span.source.text.count("\n")
        used = set(re.findall(r"\w+", tree.span.text))
    else:
        used = closure(wanted, templates)
        for name in sorted(used & set(templates)):
            yield file, templates[name].span.line, templates[name].span.end_line
    for target, names in imports(file, tree):
        if target.parent == SPECS:
            yield from spec_stretches(target, None)
        else:
            yield from spec_stretches(target, {original for original, alias in names if alias in used})


def closure(wanted: Iterable[str], templates: dict[str, Template]) -> set[str]:
    """The words of the wanted templates and of the templates that those use."""
    used, waiting = set(wanted), list(wanted)
    while waiting:
        template = templates.get(waiting.pop())
        words = set(re.findall(r"\w+", template.span.text)) if template else set()
        waiting += (words & set(templates)) - used
        used |= words
    return used


def imports(file: Path, tree: File) -> Iterator[tuple[Path, list[tuple[str, str]]]]:
    """The files that a file imports, each with pairs of an imported name and its alias."""
    for item in tree.items:
        if isinstance(item, Import):
            target = file.parent / item.path if item.path else SPECS / f"{item.library.replace('.', '/')}.arch"
            yield target, [(original.text, alias.text) for original, alias in item.names or ()]


# --- lines of Python ---


def reference_lines(name: str) -> tuple[str, int]:
    """The library that has the reference and its lines of code; ("", 0) if there is no reference."""
    library, total = "", 0
    rows = (line for line in REFERENCES.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    for row in csv.DictReader(rows):
        if row["network"] == name:
            library = row["module"].partition(".")[0]
            module = importlib.import_module(row["module"])
            total += sum(code_lines(source_of(module, each)) for each in row["names"].split())
    return library, total


def source_of(module: ModuleType, name: str) -> str:
    """The text of a class, a function or an assignment of a module."""
    thing = inspect.unwrap(getattr(module, name))
    if inspect.isclass(thing) or inspect.isfunction(thing):
        return textwrap.dedent(inspect.getsource(thing))
    text = inspect.getsource(module)
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in ast.unparse(node).partition("=")[0]:
            return ast.get_source_segment(text, node) or ""
    raise LookupError(f"{module.__name__} does not define {name}")


def code_lines(text: str) -> int:
    """Lines of Python that hold code."""
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            left_out |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(1 for number, line in lines if number not in left_out and is_code(line))


if __name__ == "__main__":
    main()
