"""Damaged specs: an `ArchError` at most, within two seconds; a spec that still checks compiles."""

from __future__ import annotations

import sys
import time
import traceback

import pytest
from damaged_specs import damaged

import resnext_dsl as rx

SECONDS = 2.0
WIDE, COMPILED = 30_000, 2_000
"""Seeds of the slow part: specs that are checked, and specs that compile."""


def faults(seed: int, compiles: bool = False) -> tuple[list[str], bool]:
    """The faults in the treatment of a damaged spec, and whether the spec still checks."""
    wrong, valid, seconds = _treated(seed, compiles)
    if seconds > SECONDS and sys.gettrace() is None:
        # A spec that is slow is slow again; a machine that is short of memory is not.
        again = min(seconds, _treated(seed, compiles)[2])
        wrong += [f"seed {seed}: {again:.1f} s"] * (again > SECONDS)
    return wrong, valid


def _treated(seed: int, compiles: bool) -> tuple[list[str], bool, float]:
    """The faults, whether the spec checks, and the CPU time of the check."""
    spec = damaged(seed)
    start = time.process_time()
    try:
        network = rx.loads(spec.text, root=spec.root)
        network.cost()
        network.usage()
    except rx.ArchError as problem:
        internal = [each.code for each in problem.diagnostics if each.code.startswith("E8")]
        wrong = [f"seed {seed}: {internal}"] * bool(internal or not str(problem))
        return wrong, False, time.process_time() - start
    except Exception:
        return [f"seed {seed}: {traceback.format_exc(limit=-3)}"], False, time.process_time() - start
    seconds, wrong = time.process_time() - start, []
    if compiles:
        try:
            network.compile(device="meta")
        except Exception:
            wrong.append(f"seed {seed} in compile: {traceback.format_exc(limit=-3)}")
    return wrong, True, seconds


@pytest.mark.parametrize("part", range(4))
def test_damaged_specs_are_errors_of_specs_or_networks_that_compile(part: int) -> None:
    results = [faults(seed, compiles=seed % 2 == 0) for seed in range(part * 40, part * 40 + 40)]
    assert [each for wrong, _ in results for each in wrong] == []
    checked = sum(valid for _, valid in results)
    assert 0 < checked < 40  # neither all damaged beyond reading nor all intact


@pytest.mark.slow
@pytest.mark.parametrize("part", range(30))
def test_many_damaged_specs(part: int) -> None:
    count = WIDE // 30
    assert [each for seed in range(part * count, (part + 1) * count) for each in faults(seed)[0]] == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_damaged_specs_compile(part: int) -> None:
    left, seed = COMPILED // 20, 100_000 * (part + 1)
    while left:
        wrong, valid = faults(seed, compiles=True)
        assert wrong == []
        left, seed = left - valid, seed + 1
