"""Times text to module on the meta device against torchvision's constructor, with another number of classes each round.

python benchmarks/compile_time.py [rounds]
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from timing import interleaved, line, machine

import resnext_dsl as rx
from resnext_dsl.importing.libraries import declare_missing_operators

DECLARED = declare_missing_operators()

import torchvision  # noqa: E402  (its operators come first)

NAME = "resnext50_32x4d"

FIRST = """
import time, torch
start = time.perf_counter()
{imports}
{build}
print(time.perf_counter() - start)
"""
"""Times the first network of a process, with the import of the package that makes it; torch is imported before."""

OURS = FIRST.format(imports="import resnext_dsl as rx", build=f"rx.load('{NAME}').compile(device='meta')")
DECLARE = "from resnext_dsl.importing.libraries import declare_missing_operators as declare; declared = declare()"
THEIRS = FIRST.format(
    imports=f"{DECLARE}\nimport torchvision",
    build=f"with torch.device('meta'): torchvision.models.{NAME}()",
)


def main() -> None:
    """Prints the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(machine())
    ours, meta, memory = interleaved(rounds, compiled(), constructed("meta"), constructed("cpu"))
    print(line("text to module on meta", ours, meta, "torchvision's constructor on meta"))
    print(line("text to module on meta", ours, memory, "torchvision's constructor on the CPU"))
    mine, peer = processor(compiled()), processor(constructed("meta"))
    print(f"time of the processor: {mine:.0f} ms, torchvision's constructor on meta: {peer:.0f} ms")
    firsts = [(first(OURS), first(THEIRS)) for _ in range(5)]
    mine, peer = (statistics.median(times) for times in zip(*firsts, strict=True))
    print(f"first of a process, imports included: {mine:.2f} s, torchvision's constructor on meta: {peer:.2f} s")


def compiled() -> Callable[[], object]:
    """Reads, checks and compiles a network that the process has not compiled yet."""
    classes = itertools.count(1000)
    return lambda: rx.load(NAME, classes=next(classes)).compile(device="meta")


def constructed(device: str) -> Callable[[], object]:
    """Runs torchvision's constructor."""
    classes = itertools.count(1000)

    def run() -> None:
        with torch.device(device):
            torchvision.models.get_model(NAME, num_classes=next(classes))

    return run


def processor(run: Callable[[], object], rounds: int = 20) -> float:
    """Milliseconds of CPU time of a run, which other programs of the machine lengthen little."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def first(program: str) -> float:
    """The seconds that a program prints."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
