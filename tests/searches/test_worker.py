"""Rules of a worker, without a database or a process: which trials count, when it may be stopped, what it repeats."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from resnext_dsl.devices.visible_gpus import OWN
from resnext_dsl.searches import patience, worker
from resnext_dsl.searches.trials import Heartbeat
from resnext_dsl.searches.worker import Worker, _use_assigned_gpu


@pytest.fixture(autouse=True)
def usual_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is stopped shortens the patience of the process."""
    monkeypatch.setattr(patience._state, "limit", patience.AWAY)


def bare(**attributes: Any) -> Worker:
    """A worker that has only these attributes."""
    made = Worker.__new__(Worker)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


# --- which trials count


def trial(number: int, key: str = "") -> Any:
    return SimpleNamespace(number=number, key=key or f"key {number}")


def standing(*counted: Any, dead: tuple[Any, ...] = ()) -> Any:
    return SimpleNamespace(keys={one.key: one for one in counted}, counted=len(counted) + len(dead), dead=dead)


@pytest.mark.parametrize(
    ("asked", "now", "reason"),
    [
        (trial(3), standing(trial(3)), ""),
        (trial(3), standing(), ""),
        (trial(3, "same"), standing(trial(0, "same")), "same architecture as trial 0"),
        (trial(2), standing(trial(0), trial(1), trial(2)), "more trials than requested"),
        (trial(1), standing(trial(0), trial(1), trial(2)), ""),
        (trial(2), standing(trial(0), trial(2), dead=(trial(1),)), "more trials than requested"),
        (trial(2), standing(trial(1), trial(2)), ""),
    ],
)
def test_a_trial_counts_if_it_is_the_first_of_its_kind_and_among_those_requested(
    asked: Any, now: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    voided: list[tuple[int, str]] = []
    monkeypatch.setattr(worker, "known_key", lambda one: one.key)
    monkeypatch.setattr(Worker, "_void", lambda _, one, why: voided.append((one.number, why)))
    counts = bare(_plan=SimpleNamespace(trials=2))._counts(asked, now)
    assert counts is (reason == "")
    assert voided == ([(asked.number, reason)] if reason else [])


# --- a second attempt


@pytest.mark.parametrize(
    ("problems", "calls", "releases"),
    [
        ([None], 1, 0),
        ([RuntimeError("CUDA out of memory"), None], 2, 1),
        ([RuntimeError("CUDA out of memory"), RuntimeError("CUDA out of memory")], 2, 2),
        ([RuntimeError("CUDA out of memory"), ValueError("other")], 2, 2),
        ([ValueError("other")], 1, 0),
    ],
    ids=["fine", "memory", "memory twice", "memory and another", "another"],
)
def test_an_evaluation_without_memory_is_repeated_once_after_a_release(
    problems: list[Exception | None], calls: int, releases: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    ends = iter(problems)

    def metrics(*_: Any) -> tuple[dict[str, float], str]:
        done.append("call")
        if problem := next(ends):
            raise problem
        return {"flops": 1.0}, "cpu"

    monkeypatch.setattr(worker, "release", lambda: done.append("release"))
    tried = bare(_metrics=metrics)
    if problems[-1] is None:
        assert tried._tried(None, None, None) == ({"flops": 1.0}, "cpu")  # type: ignore[arg-type]
    else:
        with pytest.raises(type(problems[-1])):
            tried._tried(None, None, None)  # type: ignore[arg-type]
    assert (done.count("call"), done.count("release")) == (calls, releases)
    assert done[:2] == (["call", "release"] if releases else ["call"])


# --- a request to stop


class Ending(Worker):
    """A worker whose evaluation and database are functions of the test."""

    def __init__(self, evaluate: Callable[[], None]) -> None:
        self._plan = SimpleNamespace(objectives=["flops"])  # type: ignore[assignment]
        self._session = SimpleNamespace(evaluator=SimpleNamespace(reports=True))  # type: ignore[assignment]
        self._snapshot = SimpleNamespace(outdate=lambda: None)  # type: ignore[assignment]
        self._heartbeat = SimpleNamespace(trial=None)  # type: ignore[assignment]
        self._records: Any = None
        self._bounds: Any = []
        self._stop = self._evaluating = False
        self._run = evaluate

    def _bound_of(self, _: Any) -> Any:
        return None, None

    def _report(self, _: Any) -> Any:
        return None

    def _tried(self, *_: Any) -> tuple[dict[str, float], str]:
        self._run()
        return {"flops": 1.0}, "cpu"


@pytest.mark.parametrize("when", ["evaluating", "recording"])
def test_a_request_to_stop_ends_an_evaluation_and_leaves_the_record_of_a_result_alone(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[str] = []

    def finish(*_: Any) -> bool:
        if when == "recording":
            subject.stop()
        recorded.append("finished")
        return True

    monkeypatch.setattr(worker, "result_of", lambda *_: {})
    monkeypatch.setattr(worker, "violations", lambda *_: [])
    monkeypatch.setattr(worker, "finished", lambda *_: None)
    monkeypatch.setattr(worker, "finish", finish)
    monkeypatch.setattr(worker, "fail", lambda _, __, marks, **___: recorded.append(next(iter(marks))))
    subject = Ending(lambda: subject.stop() if when == "evaluating" else None)
    subject._evaluate(trial(0))
    assert recorded == ["finished" if when == "recording" else worker.STOPPED]
    assert subject._stop
    assert patience._state.limit == worker.STOPPING


# --- reports


def test_reports_of_the_objective_are_kept_and_may_end_a_trial() -> None:
    kept: list[tuple[float, int]] = []
    running = SimpleNamespace(report=lambda value, step: kept.append((value, step)), should_prune=lambda: len(kept) > 1)
    subject = bare(
        _session=SimpleNamespace(evaluator=SimpleNamespace(reports=True)),
        _plan=SimpleNamespace(objectives=["accuracy"]),
        _records=SimpleNamespace(trial=lambda number: running),
    )
    report = subject._report(trial(0))
    report(1, {"accuracy": 0.5, "loss": 2.0})
    report(2, {"loss": 1.0})
    assert kept == [(0.5, 1)]
    with pytest.raises(optuna.TrialPruned, match=r"`accuracy` is 0\.25 at step 7"):
        report(7, {"accuracy": 0.25})
    assert kept == [(0.5, 1), (0.25, 7)]


# --- devices


@pytest.mark.parametrize(
    ("assigned", "available", "chosen"), [("1", True, [1]), ("0", True, [0]), (None, True, []), ("1", False, [])]
)
def test_the_assigned_gpu_is_the_default_of_torch(
    assigned: str | None, available: bool, chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[int] = []
    cuda = SimpleNamespace(is_available=lambda: available, set_device=devices.append)
    monkeypatch.setitem(worker.sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    monkeypatch.delenv(OWN, raising=False)
    if assigned is not None:
        monkeypatch.setenv(OWN, assigned)
    _use_assigned_gpu()
    assert devices == chosen


# --- heartbeats and patience


def test_no_heartbeat_comes_after_the_end_of_the_block() -> None:
    beats: list[str] = []

    def beat(_: int) -> None:
        beats.append("begun")
        worker.time.sleep(0.15)
        beats.append("ended")

    heartbeat = Heartbeat(SimpleNamespace(beat=beat), 0.01)  # type: ignore[arg-type]
    with heartbeat:
        heartbeat.trial = trial(0)
        while not beats:
            worker.time.sleep(0.005)
    assert beats[-1] == "ended"
    assert heartbeat._thread is not None
    assert not heartbeat._thread.is_alive()


def test_a_hurry_ends_with_its_block() -> None:
    @contextlib.contextmanager
    def limits(inner: float) -> Iterator[None]:
        before = patience._state.limit
        with contextlib.suppress(KeyError), patience.hurried(inner):
            assert patience._state.limit == inner
            yield
        assert patience._state.limit == before

    with limits(3.0):
        with limits(1.0):
            raise KeyError
        assert patience._state.limit == 3.0
    assert patience._state.limit == patience.AWAY
