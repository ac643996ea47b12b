"""What every test runs under."""

from __future__ import annotations

import gc
import os
import signal

# A shell has its background jobs ignore interrupts, and what they start with them; tests send some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Several test processes may share two cores, and small convolutions gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Processes that tests start read compiled modules; to compile the package takes longer than to import it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from hypothesis import HealthCheck, settings

# `tests.mutation` plants mistakes with so many examples: more find hardly any other one.
settings.register_profile(
    "default", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from the million objects of the libraries, which stay to the end."""
    gc.collect()
    gc.freeze()
