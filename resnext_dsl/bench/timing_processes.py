"""Starts workers, asks them, and lets one at a time run: the others are stopped, so that no thread of theirs spins."""

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
    """A worker, as seen by the one who asks. A context manager: its end is the end of the process.

    Args:
        what: What it times, for errors.
        threads: Within an operator; 0 for as many as its libraries take unasked.
    """

    def __init__(self, what: str, threads: int = 0) -> None:
        self.what = what
        # Imports come from where the package is; -P keeps a `torch.py` of the working directory out.
        path = os.pathsep.join(filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path}
        if threads:
            environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._said: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  (`close`)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "resnext_dsl.bench.timing_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # an interrupt of the terminal is for the one who asks
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, whatever it does; a second time does nothing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            assert stream is not None
            with suppress(BrokenPipeError):  # what it was asked last may not have reached it
                stream.close()

    def ask(self, does: str, **request: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            ArchError: With the code that the worker gives, or E607.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": does, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise untimed(f"{self.what}: {self._last_words()}") from None
        line = self._process.stdout.readline()
        if not line:
            raise untimed(f"{self.what}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            code, message, hint = answer["failed"]
            raise error(code, message, file="bench", hint=hint) if code else untimed(f"{self.what}: {message}")
        return answer

    def stop(self) -> None:
        """Stops every thread of it, where the system can."""
        self._signal("SIGSTOP")

    def go_on(self) -> None:
        """Lets it run again."""
        self._signal("SIGCONT")

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self._process.poll() is None:
            self._process.send_signal(getattr(signal, name))

    def _last_words(self) -> str:
        status = self._process.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"its process ended with {how}" + (f": {lines[-1][:200]}" if lines else "")
