"""The process that runs parts: `python -m benchmarks.gpu.worker REQUEST`, a JSON object. It answers in JSON lines.

    {"kind": "begin", "part": ...}       before each part
    entries of the result file           as they come
    {"kind": "finish", "part": ..., "broken": ...}
    {"kind": "refused", "message": ...}  this machine cannot run the command

It ends with the process that started it. After an error that breaks the CUDA context it ends, and the next part has a
new process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

Request = dict[str, Any]


def main(arguments: Sequence[str]) -> None:
    """Runs the parts of a request."""
    end_with_parent()
    answers = _own_standard_output()
    request: Request = json.loads(arguments[0])

    def send(entry: dict[str, Any]) -> None:
        answers.write(json.dumps(entry) + "\n")
        answers.flush()

    for part in request["parts"]:
        send({"kind": "begin", "part": part["name"]})
        broken = run_part(request, part, send)
        send({"kind": "finish", "part": part["name"], "broken": broken})
        if broken:
            return


def run_part(request: Request, part: Request, send: Any) -> bool:
    """Runs a part; whatever it raises is a line.

    Returns:
        Whether this process can run no more parts.
    """
    from benchmarks.gpu.device import RefusedError, breaks_context, chosen, first_line, flags_kept, release
    from benchmarks.gpu.record import LEFT_OUT, NOT_OK, Line
    from benchmarks.gpu.run import ReportedError, Run, TimeOverError

    ends = min(time.monotonic() + part["seconds"], request["ends"])
    try:
        device = chosen(request["dry"])
        run = Run(part["name"], device, request["dry"], Path(request["folder"]), ends, send)
        with flags_kept():
            _function(part["function"])(run)
        if not part["alone"]:  # its context may be broken, and its process ends
            release(device)
    except RefusedError as problem:
        send({"kind": "refused", "message": str(problem)})
        return True
    except ReportedError:
        return True
    except TimeOverError as problem:
        send(Line(part["name"], "the rest of the part", LEFT_OUT, str(problem)).entry())
    except Exception as problem:  # any failure of a part is a line of the table
        send(Line(part["name"], "the whole part", NOT_OK, first_line(problem)).entry())
        return breaks_context(problem)
    return False


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(f"benchmarks.gpu.{module}"), function)


def end_with_parent() -> None:
    """Ends this process with the one that started it (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _own_standard_output() -> IO[str]:
    """Standard output for answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main(sys.argv[1:])
