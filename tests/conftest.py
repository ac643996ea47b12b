"""What every test runs under."""

from __future__ import annotations

import os

# Several test processes may share two cores, and small convolutions gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")
