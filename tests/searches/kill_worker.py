"""A worker that writes down every result once the database has acknowledged it: `kill_worker.py NUMBER LOG`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from resnext_dsl.searches import worker


def write_to(path: str) -> None:
    finish = worker.finish

    def acknowledged(records: Any, trial: Any, values: list[float], *kept: Any) -> bool:
        known = finish(records, trial, values, *kept)
        if known:
            log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, f"{trial.number} {values[0]}\n".encode())
            os.close(log)
        return known

    worker.finish = acknowledged


if __name__ == "__main__":
    write_to(sys.argv.pop(2))  # a worker would take it for its name
    os._exit(worker.main())
