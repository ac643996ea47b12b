"""Runs the parts of a command in worker processes, each within its time, and keeps what they report.

This process imports no torch and has no CUDA context. A fork server imports the libraries once, and starts the workers
and their commands. A worker that hangs or dies costs its part only: a line says so,
and the next part has a new worker. An interrupt ends the workers and writes the tables.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.fork_server import SOCKET, ForkServer, Process, end, start
from benchmarks.gpu.plan import Part
from benchmarks.gpu.record import LEFT_OUT, NOT_OK, Entry, Line, Record

ROOT = Path(__file__).resolve().parents[2]
GRACE = 10.0
"""Seconds after which a part that does not end in its time is stopped."""
LEAST = 2.0
"""Seconds that must be left for a part to begin."""
IMPORTING = 90.0
"""Seconds after which a run goes on without a fork server."""


class Stopped(BaseException):
    """SIGTERM or SIGINT arrived."""

    def __init__(self, number: int) -> None:
        self.number = number


class Supervisor:
    """One run of a command.

    Attributes:
        states: The state of each line so far.
        missing: Names of the parts that were not reached.
    """

    def __init__(
        self,
        record: Record,
        parts: Sequence[Part],
        seconds: float,
        dry: bool,
        folder: Path,
        preloaded: Sequence[str] = ("torch",),
    ) -> None:
        self._record, self._parts, self._dry, self._folder = record, list(parts), dry, folder
        self._preloaded, self._server = preloaded, None
        self._ends = time.monotonic() + seconds
        self._moment = time.monotonic()
        self._waiting: list[Entry] = []
        self.states: list[str] = []
        self.missing: list[str] = []

    def run(self, header: Entry) -> int:
        """Runs all parts; appends the header, what they report, and the end.

        Returns:
            The exit status: 0, 1 if a line is not ok, 2 if the machine is refused, 128 and the number of a signal.
        """
        self._waiting = [header]
        reason, status = "", 0
        with _signals():
            try:
                self._run_parts()
            except _Refused as problem:
                print(f"benchmarks.gpu: {problem}", file=sys.stderr)
                return 2
            except Stopped as stopped:
                reason, status = f"stopped by {signal.Signals(stopped.number).name}", 128 + stopped.number
        self.missing += [part.name for part in self._parts]
        reason = reason or ("its time was over" if self.missing else "")
        for name in self.missing:
            line = Line(name, "the whole part", LEFT_OUT, f"not reached: {reason}")
            self._keep(line.entry() | {"seconds": 0.0})
        status = status or (1 if NOT_OK in self.states else 0)
        self._keep({"kind": "end", "status": status, "reason": reason, "missing": self.missing})
        self._record.close()
        return status

    def _run_parts(self) -> None:
        """Starts the fork server, and runs the parts that the time reaches."""
        begun, seconds = time.monotonic(), min(IMPORTING, self._left())
        with (
            open(self._folder / "worker.log", "ab") as log,
            ForkServer(self._folder, environment(self._dry), log.fileno(), self._preloaded, seconds) as server,
        ):
            self._server = server.socket
            self._waiting.append(_taken("imports", begun))
            while self._parts and self._left() > LEAST:
                self._serve(self._batch())

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _batch(self) -> list[Part]:
        """The parts that the next worker runs: one that is alone, or all before the next that is."""
        if self._parts[0].alone:
            return self._parts[:1]
        alone = [index for index, part in enumerate(self._parts) if part.alone]
        return self._parts[: alone[0] if alone else None]

    def _serve(self, parts: list[Part]) -> None:
        """Starts a worker for some parts, and takes what it reports until it ends or its time is over."""
        with self._worker(parts) as (worker, lines):
            current: Part | None = None
            begun = time.monotonic()
            limit = self._ends
            while True:
                entry = lines.next(limit)
                if entry is None:
                    self._ended(worker, current or self._parts[0], limit)
                    return
                if entry["kind"] == "begin":
                    current, begun = next(part for part in parts if part.name == entry["part"]), time.monotonic()
                    self._moment = begun
                    limit = min(time.monotonic() + current.seconds + GRACE, self._ends)
                elif entry["kind"] == "finish":
                    self._parts.remove(next(part for part in parts if part.name == entry["part"]))
                    if not self._waiting:
                        self._keep(_taken(entry["part"], begun))
                    current, limit = None, self._ends
                    if entry["broken"] or not any(part in self._parts for part in parts):
                        return
                elif entry["kind"] == "refused":
                    raise _Refused(entry["message"])
                else:
                    self._keep(entry)

    def _ended(self, worker: Process, part: Part, limit: float) -> None:
        """Reports a worker that was late or died while it ran a part; the part is over."""
        if time.monotonic() >= limit:
            over = "the time of the command is over" if limit == self._ends else f"its {part.seconds:g} s are over"
            line = Line(part.name, "the rest of the part", LEFT_OUT, f"stopped: {over}")
        else:
            status = worker.wait()
            died = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            line = Line(part.name, "the rest of the part", NOT_OK, f"its process died: {died}")
        self._keep(line.entry())
        self._parts.remove(part)

    @contextmanager
    def _worker(self, parts: list[Part]) -> Iterator[tuple[Process, _Lines]]:
        request = {
            "parts": [asdict(part) for part in parts],
            "dry": self._dry,
            "folder": str(self._folder),
            "ends": self._ends,  # `time.monotonic` is one clock for all processes of a machine
        }
        answers, output = os.pipe()
        with open(self._folder / "worker.log", "ab") as log:
            try:
                worker = start(
                    "benchmarks.gpu.worker",
                    [json.dumps(request)],
                    output=output,
                    errors=log.fileno(),
                    folder=ROOT,
                    variables=environment(self._dry) | ({SOCKET: self._server} if self._server else {}),
                    server=self._server,
                )
            finally:
                os.close(output)
        try:
            yield worker, _Lines(answers)
        finally:
            end(worker)  # its commands end with it
            os.close(answers)

    def _keep(self, entry: Entry) -> None:
        for early in self._waiting:
            self._record.append(early)
        self._waiting = []
        if entry["kind"] == "line" and "seconds" not in entry:
            now = time.monotonic()
            entry, self._moment = entry | {"seconds": round(now - self._moment, 1)}, now
        self._record.append(entry)
        if entry["kind"] == "line":
            self.states.append(entry["state"])
            print(Line(*(entry[name] for name in ("part", "what", "state", "figure"))).text(), flush=True)


def _taken(part: str, begun: float) -> Entry:
    """The seconds of a part as an entry of a result file."""
    return {"kind": "part", "part": part, "seconds": round(time.monotonic() - begun, 1)}


class _Refused(Exception):  # noqa: N818 - an answer of a worker
    """A worker says that the machine cannot run the command."""


class _Lines:
    """JSON lines from a pipe, each waited for until a moment."""

    def __init__(self, source: int) -> None:
        self._source, self._read = source, b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(source, selectors.EVENT_READ)

    def next(self, until: float) -> Any:
        """The next line; None if the pipe ends or the moment comes first."""
        while b"\n" not in self._read:
            if not self._selector.select(max(0.0, until - time.monotonic())):
                return None
            more = os.read(self._source, 65536)
            if not more:
                return None
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)


def environment(dry: bool) -> dict[str, str]:
    """The environment of workers: they find this package, and what they start does too.

    Args:
        dry: Whether kernels of Triton run in its interpreter, which Triton looks at when it is imported.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    interpreted = {"TRITON_INTERPRET": "1"} if dry else {}
    return {**os.environ, **interpreted, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise `Stopped`, once; a second one does not disturb the end."""

    def stop(number: int, _: object) -> None:
        for later in (signal.SIGTERM, signal.SIGINT):
            signal.signal(later, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
