"""Starts workers, sends them requests, and lets one at a time run. Suspended workers have no thread that spins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from resnext_dsl.bench.variants import untimed
from resnext_dsl.foundation.diagnostics import error

PACKAGE = Path(__file__).parent.parent.parent


class TimingProcess:
    """The parent's view of a worker. A context manager: its exit ends the process.

    Args:
        what: Label of the variant, for errors.
        threads: Threads within an operator; 0 for the default of its libraries.
    """

    def __init__(self, what: str, threads: int = 0) -> None:
        self.what = what
        # Imports come from the folder of the package; -P ignores a `torch.py` in the working directory.
        path = os.pathsep.join(filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path}
        if threads:
            environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._stderr: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  (`close`)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "resnext_dsl.bench.timing_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # an interrupt of the terminal reaches the parent only
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kills the process; a second call does nothing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            assert stream is not None
            with suppress(BrokenPipeError):  # the last request may not have reached the process
                stream.close()

    def ask(self, task: str, **request: Any) -> dict[str, Any]:
        """Sends a request and returns the answer.

        Raises:
            ArchError: With the code of the worker, or E607.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": task, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise untimed(f"{self.what}: {self._end_message()}") from None
        line = self._process.stdout.readline()
        if not line:
            raise untimed(f"{self.what}: {self._end_message()}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            code, message, hint = answer["failed"]
            raise error(code, message, file="bench", hint=hint) if code else untimed(f"{self.what}: {message}")
        return answer

    def suspend(self) -> None:
        """Suspends all threads of the process, if the system has such a signal."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        """Lets the process run again."""
        self._signal("SIGCONT")

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self._process.poll() is None:
            self._process.send_signal(getattr(signal, name))

    def _end_message(self) -> str:
        status = self._process.wait()
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().splitlines() if line.strip()]
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"its process ended with {how}" + (f": {lines[-1][:200]}" if lines else "")
