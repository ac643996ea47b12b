"""The command line of the package as a part uses it: `resnext-dsl ARGUMENTS` in a process of its own.

The process runs `main` of this module with `[--syncs FILE] ARGUMENTS`. The fork server of the run starts it; without a
server, an interpreter runs `python -m benchmarks.gpu.command`. It ends with the worker that started it, and can count
the places where it waits for the GPU (`torch.cuda.set_sync_debug_mode`).
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.gpu.fork_server import SOCKET, Process, end, start
from benchmarks.gpu.run import Run, TimeOverError
from benchmarks.gpu.worker import end_with_parent

SYNCHRONIZES = "called a synchronizing"
"""The text of torch's warning about an operation that waits for the GPU."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        status: Its exit status; None if it was killed, by its time or at the line `until`.
        output: Its standard output.
        errors: Its standard error.
        late: Whether it was killed because its time was over.
    """

    status: int | None
    output: str
    errors: str
    late: bool = False

    def answer(self) -> Any:
        """Its answer in JSON.

        Raises:
            TimeOverError: If its time was over.
            RuntimeError: If it gave none; the message has the exit status and the last line of its errors.
        """
        if self.late:
            raise TimeOverError
        try:
            return json.loads(self.output)
        except json.JSONDecodeError:
            raise RuntimeError(f"exit status {self.status}: {self.said()}") from None

    def said(self) -> str:
        """The line of its errors that says most: that of an error if there is one, else the last one."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        named = [line for line in lines if "error[" in line]
        return (named or lines or ["nothing on standard error"])[-1][:200]

    def plain(self) -> bool:
        """Whether it ended with an error that it explains: exit status 1 or 2, no traceback."""
        return self.status in (1, 2) and "error[" in self.errors and "Traceback" not in self.errors


def resnext_dsl(
    run: Run,
    *arguments: str,
    syncs: Path | None = None,
    until: str = "",
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs the command line of the package.

    Args:
        run: Its time bounds that of the command; its folder is the working folder.
        *arguments: Of the command.
        syncs: A file for the counts of places that wait for the GPU.
        until: The beginning of a line of standard error at which the command is killed, if any.
        variables: More environment variables.
    """
    counting = ["--syncs", str(syncs)] if syncs is not None else []
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(
            "benchmarks.gpu.command",
            [*counting, *arguments],
            output=output.fileno(),
            errors=errors.fileno(),
            folder=run.folder,
            variables=variables or {},
            server=os.environ.get(SOCKET),
        )
        try:
            status, late = _followed(process, errors, until, max(1.0, run.left()))
        finally:
            end(process)
        return Outcome(status, _text(output), _text(errors), late)


def _followed(process: Process, errors: IO[bytes], until: str, seconds: float) -> tuple[int | None, bool]:
    """Waits for the end of a process, for a line of its errors, or for some seconds.

    Returns:
        Its exit status, None if it still runs; and whether the seconds were over.
    """
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        status = process.poll()
        if status is not None:
            return status, False
        if until and any(line.startswith(until) for line in _text(errors).splitlines()):
            return None, False
        time.sleep(0.01)
    return None, True


def _text(file: IO[bytes]) -> str:
    """The content of a file that another process writes; the place where that process writes stays as it is."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def at_once(
    run: Run, asked: Mapping[str, Sequence[str]], variables: Mapping[str, str] | None = None, until: str = ""
) -> dict[str, Outcome]:
    """Runs several commands side by side, for what is not timed; their outcomes by the same keys."""
    with ThreadPoolExecutor(len(asked)) as pool:
        begun = {
            key: pool.submit(resnext_dsl, run, *arguments, variables=variables, until=until)
            for key, arguments in asked.items()
        }
        return {key: future.result() for key, future in begun.items()}


def synchronizations(file: Path) -> dict[str, int]:
    """How often each place waited for the GPU, by `file:line` of the Python code; the most frequent first."""
    found: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def main(arguments: Sequence[str]) -> None:
    """Runs the package's command line in this process."""
    end_with_parent()
    syncs = None
    if arguments and arguments[0] == "--syncs":
        syncs, arguments = Path(arguments[1]), arguments[2:]
    sys.argv = ["resnext-dsl", *arguments]
    if syncs is None:
        runpy.run_module("resnext_dsl", run_name="__main__")
        return
    places: Counter[str] = Counter()
    _count_synchronizations(places)
    try:
        runpy.run_module("resnext_dsl", run_name="__main__")
    finally:
        syncs.write_text(json.dumps(places), encoding="utf-8")


def _count_synchronizations(places: Counter[str]) -> None:
    """Counts torch's warnings of operations that wait for the GPU; other warnings are shown as before."""
    import torch

    show = warnings.showwarning

    def count(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if SYNCHRONIZES not in str(message):
            show(message, category, filename, lineno, file, line)
            return
        places[f"{'/'.join(Path(filename).parts[-2:])}:{lineno}"] += 1

    warnings.showwarning = count
    warnings.filterwarnings("always", message=f".*{SYNCHRONIZES}")
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("warn")


if __name__ == "__main__":
    main(sys.argv[1:])
