"""An evaluator that makes a worker of a cluster write down what is acknowledged, and that it has begun to work.

Where, is read from a file of the working folder, which is all that the tasks of a cluster get.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import search_evaluators
from kill_worker import write_to

log = Path(Path("log.path").read_text())
write_to(str(log))


def slow(network: Any, candidate: Any) -> dict[str, float]:
    """Takes a while, as long as workers are killed."""
    (log.parent / f"{os.getpid()}.worker").touch()
    end = time.monotonic() + 3
    while not (log.parent / "enough").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return search_evaluators.accuracy(network, candidate)
