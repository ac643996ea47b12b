"""Seconds of one run: the wall clock on a CPU, events on a GPU. No test here needs a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from resnext_dsl.devices.run_time import run_seconds, wall_seconds


def test_the_wall_clock_measures_a_run() -> None:
    runs: list[int] = []

    def run() -> None:
        runs.append(1)
        time.sleep(0.02)

    assert 0.02 <= wall_seconds(run) < 2
    assert 0.02 <= run_seconds(run, torch.device("cpu")) < 2
    assert runs == [1, 1]


def test_events_measure_a_run_on_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []

    @contextmanager
    def current(place: torch.device) -> Iterator[None]:
        steps.append(place)
        yield
        steps.append("left")

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            steps.append("record")

        def synchronize(self) -> None:
            steps.append("wait")

        def elapsed_time(self, end: object) -> float:
            assert end is not self
            return 7.5

    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    place = torch.device("cuda:1")
    assert run_seconds(lambda: steps.append("run"), place) == 0.0075  # events count milliseconds
    assert steps == [place, "record", "run", "record", "wait", "left"]
