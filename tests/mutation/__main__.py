"""`python -m tests.mutation`: plants small mistakes in the package, and shows which of them the tests notice."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutation.coverage_map import (
    FILE_BUDGET,
    FILE_LIMIT,
    QUICK_FILE_BUDGET,
    CoverageMap,
    MapStore,
    likely_first,
    mirror_files,
)
from tests.mutation.forked import Copy, import_libraries
from tests.mutation.mutants import Mutant
from tests.mutation.sampling import FOLDERS, all_mutants, few_modules, folder_of, module_paths, sampled
from tests.mutation.table import share, table
from tests.mutation.verdicts import Results, Verdict, equivalents, failing, judge

CHECKOUT = Path(__file__).parents[2]
MAP_SHARE = 0.5
"""Part of `--minutes` that the map may take."""


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=300, metavar="N", help="number of mutants (300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (0)")
    parser.add_argument("--folder", action="append", choices=FOLDERS, help="folder of the package; may be repeated")
    parser.add_argument("--changed-since", metavar="COMMIT", help="mutants of modules that differ from a commit")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="file of verdicts, which is read and added to")
    parser.add_argument("--retry", action="store_true", help="second run of the mutants that FILE has as missed")
    parser.add_argument("--list", action="store_true", help="the sample alone, without a run")
    parser.add_argument("--map", action="store_true", help="measurement of every test file again")
    parser.add_argument("--tests", action="append", default=[], metavar="PATH", help="further test files for the map")
    parser.add_argument("--minutes", type=float, help="time limit; mutants beyond it stay without a verdict")
    parser.add_argument("--at-least", type=float, default=0, metavar="PERCENT", help="least share that is noticed")
    return parser.parse_args(words)


def git(checkout: Path, *words: str) -> list[str]:
    """The lines that a command of git prints; none if it fails, as in a clone without the commit."""
    done = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def changed_modules(commit: str, checkout: Path = CHECKOUT) -> list[str]:
    """The modules of `FOLDERS` that differ from a commit."""
    names = git(checkout, "diff", "--name-only", "--diff-filter=d", commit, "--", "resnext_dsl")
    return [name for name in names if name.endswith(".py") and folder_of(name) in FOLDERS]


def sample_of(options: argparse.Namespace) -> list[Mutant]:
    """The mutants that the options ask for. A sample of changes is of a few modules, whichever if none changed."""
    paths = module_paths(CHECKOUT, options.folder or FOLDERS)
    if options.changed_since:
        changed = [path for path in changed_modules(options.changed_since) if path in paths]
        head = "".join(git(CHECKOUT, "rev-parse", "HEAD"))
        paths = few_modules(CHECKOUT, changed or paths, options.sample, f"{options.seed} {head}")
        print(f"{'changed' if changed else 'no changed'} modules; the sample is of {', '.join(paths)}", flush=True)
    return sampled(all_mutants(CHECKOUT, paths), options.sample, options.seed)


def measured_map(
    options: argparse.Namespace, store: MapStore, copy: Copy, mutants: Sequence[Mutant], end: float
) -> CoverageMap:
    """The map for the mutants of a folder: kept parts, and new ones of the test files that lack them, until `end`."""
    modules = list(dict.fromkeys(mutant.path for mutant in mutants))
    files = mirror_files(CHECKOUT, list(dict.fromkeys(map(folder_of, modules))))
    coverage_map = CoverageMap()
    budget = QUICK_FILE_BUDGET if options.minutes else FILE_BUDGET
    for test_file in [*likely_first(CHECKOUT, files, modules), *options.tests]:
        part = None if options.map else store.load(test_file, budget)
        left = end - time.monotonic()
        if part is None and left > 0:
            began = time.monotonic()
            part = store.remake(copy, test_file, min(left, FILE_LIMIT), budget)
            shown = f"{len(part['tests'])} tests, {len(part['left_out'])} left out" if part else "no answer in time"
            print(f"map: {test_file}: {shown}, {time.monotonic() - began:.0f} s", flush=True)
        if part is not None:
            coverage_map.add(part, store.digests)
        else:
            coverage_map.unmeasured.append(test_file)
    for test_file in set(store.kept()).difference(files, options.tests):  # measured for other folders
        if part := store.load(test_file, budget):
            coverage_map.add(part, store.digests)
    return coverage_map


def shown(mutant: Mutant) -> str:
    """A mutant as three lines."""
    place = f"{mutant.path}:{mutant.lines[0]} in {mutant.function or 'the module'} ({mutant.operator})"
    return f"{place}\n    - {mutant.original}\n    + {mutant.mutated}"


def judged(options: argparse.Namespace, mutants: Sequence[Mutant], began: float) -> Iterator[Verdict]:
    """The verdicts on some mutants, folder by folder, until the time is over."""
    seconds = 60 * options.minutes if options.minutes else float("inf")
    if not mutants:
        return
    import_libraries()
    store = MapStore(CHECKOUT / "build" / "mutation", CHECKOUT)
    folders = list(dict.fromkeys(folder_of(mutant.path) for mutant in mutants))
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        copy, open_ = Copy(CHECKOUT, Path(temporary)), len(mutants)
        for folder in folders:
            group = [mutant for mutant in mutants if folder_of(mutant.path) == folder]
            started = time.monotonic() - began
            left = (seconds - started) * len(group) / open_
            open_ -= len(group)
            end = began + started + left
            coverage_map = measured_map(options, store, copy, group, began + started + MAP_SHARE * left)
            told: dict[str, list[Mutant]] = defaultdict(list)
            for place, mutant in enumerate(group):
                share = (end - time.monotonic()) / (len(group) - place) if options.minutes else None
                if verdict := judge(copy, mutant, coverage_map, end, share):
                    told[verdict.reason].append(mutant)
                    yield verdict
            failed = failing(copy, [name for name in told if name.startswith("tests/")], coverage_map)
            if failed:
                print(f"fail without a mutant, and are left out: {sorted(failed)}")
                coverage_map.drop(failed)
                again = [mutant for name in failed for mutant in told[name]]
                yield from filter(None, (judge(copy, mutant, coverage_map, end) for mutant in again))


def main() -> int:
    """Runs the command; the exit status is 1 if fewer mutants are noticed than `--at-least` asks for."""
    options = arguments()
    began = time.monotonic()
    sample = sample_of(options)
    if options.list:
        print("\n".join(shown(mutant) for mutant in sample))
        return 0
    results = Results(options.resume)
    reasons = equivalents()
    verdicts = {
        mutant.key: Verdict(mutant, "equivalent", reasons[mutant.key]) for mutant in sample if mutant.key in reasons
    }
    for mutant in sample:
        outcome, reason = results.known.get(mutant.key, ("", ""))
        if outcome in {"noticed", "timed out"} or (outcome == "missed" and not options.retry):
            verdicts.setdefault(mutant.key, Verdict(mutant, outcome, reason))  # type: ignore[arg-type]
    open_ = [mutant for mutant in sample if mutant.key not in verdicts]
    for verdict in judged(options, open_, began):
        verdicts[verdict.mutant.key] = verdict
        results.add(verdict)
        print(
            f"{len(verdicts)}/{len(sample)} {verdict.outcome}: {shown(verdict.mutant)}\n    {verdict.reason}",
            flush=True,
        )
    if len(verdicts) < len(sample):
        print(f"the time is over: {len(sample) - len(verdicts)} mutants without a verdict")
    missed = [verdict for verdict in verdicts.values() if verdict.outcome == "missed"]
    print(f"\n{len(missed)} missed:")
    print("\n".join(f"{shown(verdict.mutant)}\n    {verdict.reason}" for verdict in missed))
    print(f"\n{table(verdicts.values())}")
    outcomes = Counter(verdict.outcome for verdict in verdicts.values())
    return int(100 * share(outcomes) < options.at_least)


if __name__ == "__main__":
    # Sets of text iterate in one order from run to run; threads gain nothing on small tensors.
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    if any(os.environ.get(name) != value for name, value in fixed.items()):
        os.execve(sys.executable, [sys.executable, "-m", "tests.mutation", *sys.argv[1:]], os.environ | fixed)
    status = main()
    sys.stdout.flush()
    os._exit(status)  # some libraries report objects that are alive at the end
