"""A seeded sample of mutants, spread over the folders of the package by their statements."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of

FOLDERS = (
    "operators",
    "costs",
    "semantics",
    "syntax",
    "formatter",
    "emit",
    "columns",
    "rewrite",
    "weights",
    "spaces",
    "searches",
)
"""The folders of the package that mutants are made in."""

FEWEST = 3
"""Modules of a sample of changed modules."""

LEAST = 12
"""Mutants of a folder in a sample of at least twelve for each folder: fewer tell too little of the folder."""


def folder_of(path: str) -> str:
    """The folder of the package that a file lies in; empty for other files."""
    parts = Path(path).parts
    return parts[1] if len(parts) > 2 and parts[0] == "resnext_dsl" else ""


def module_paths(checkout: Path, folders: Sequence[str]) -> list[str]:
    """The modules of some folders, relative to the checkout."""
    return [
        path.relative_to(checkout).as_posix()
        for folder in folders
        for path in sorted((checkout / "resnext_dsl" / folder).rglob("*.py"))
    ]


def all_mutants(checkout: Path, paths: Iterable[str]) -> list[Mutant]:
    """Every mutant of some modules."""
    return [mutant for path in paths for mutant in mutants_of((checkout / path).read_text(encoding="utf-8"), path)]


def shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Divides a sample over folders in proportion to their sizes, with `LEAST` for each where the sample suffices."""
    least = LEAST if count >= LEAST * len(sizes) else 0
    total = sum(sizes.values())
    exact = {name: max(count * size / total, least) for name, size in sizes.items()}
    above = {name: part - least for name, part in exact.items()}
    rest = count - least * len(sizes)
    scale = rest / (sum(above.values()) or 1)
    parts = {name: least + int(above[name] * scale) for name in sizes}
    by_remainder = sorted(sizes, key=lambda name: (int(above[name] * scale) - above[name] * scale, name))
    for name in by_remainder[: count - sum(parts.values())]:
        parts[name] += 1
    return parts


def sampled(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Draws mutants: folders by their shares, then statements, then one mutant of each statement.

    The order of the draw comes from the seed and the text of each statement. A change of one statement leaves the
    others of the sample as they are, and a smaller sample is the beginning of a larger one.
    """
    parts: dict[str, dict[tuple[str, ...], list[Mutant]]] = defaultdict(lambda: defaultdict(list))
    for mutant in mutants:
        parts[folder_of(mutant.path)][mutant.key[:3]].append(mutant)
    sample = []
    for folder, share in shares({folder: len(keys) for folder, keys in parts.items()}, count).items():
        drawn = sorted(parts[folder], key=lambda key: _lot(seed, key))[:share]
        sample += [min(parts[folder][key], key=lambda mutant: _lot(seed, mutant.key)) for key in drawn]
    return sample


def few_modules(checkout: Path, paths: Sequence[str], count: int, seed: str) -> list[str]:
    """Draws modules until they have `count` statements to change, at least `FEWEST`: few need few measurements."""
    drawn: list[str] = []
    statements: set[tuple[str, ...]] = set()
    for path in sorted(paths, key=lambda path: _lot(seed, (path,))):
        if len(statements) >= count and len(drawn) >= FEWEST:
            break
        own = {mutant.key[:3] for mutant in all_mutants(checkout, [path])}
        if own:
            drawn.append(path)
            statements |= own
    return drawn


def _lot(seed: int | str, key: tuple[str, ...]) -> bytes:
    """A number drawn for a text."""
    return hashlib.sha256("\0".join([str(seed), *key]).encode()).digest()
