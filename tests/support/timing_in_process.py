"""Timing without processes of their own, for tests of what is timed and shown."""

from __future__ import annotations

import json

from resnext_dsl.bench.timing_worker import TimingWorker


class InThisProcess:
    """Answers as a worker does, in the process of the test: a tenth of the time of a process that imports torch."""

    def __init__(self, what: str, threads: int = 0) -> None:
        self._worker = TimingWorker()

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pass

    def ask(self, task: str, **request: object) -> dict[str, object]:
        return self._worker.answer(json.loads(json.dumps({"do": task, **request})))

    def suspend(self) -> None:
        pass

    def resume(self) -> None:
        pass
