"""Timing one inference: what counts, and what comes before."""

from __future__ import annotations

import pytest
import torch

from resnext_dsl.budgets import latency


def test_the_first_run_is_no_part_of_the_time_of_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, runs = [0.0], []

    def run() -> None:
        now[0] += 0.01 if runs else 100.0  # the first run loads libraries
        runs.append(now[0])

    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
    times = latency._times(run, torch.device("cpu"))
    # One run, then a warm-up of 0.3 seconds, then 2 seconds of runs that count.
    assert len(times) == pytest.approx(latency.SECONDS / 0.01, abs=2)
    assert len(runs) - len(times) == pytest.approx(1 + latency.WARM_UP_SECONDS / 0.01, abs=2)
    assert max(times) == pytest.approx(0.01)
