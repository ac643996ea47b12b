"""Parts of the GPU benchmarks that a test calls in its own process leave torch's global flags as they were."""

from collections.abc import Iterator

import pytest

from benchmarks.gpu.device import flags_kept


@pytest.fixture(autouse=True)
def kept_flags() -> Iterator[None]:
    with flags_kept():
        yield
