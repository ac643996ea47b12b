"""Times cost from text, of a spec bound again, and of a million candidates, against torchvision's module and fvcore.

python benchmarks/cost.py
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from timing import interleaved, line, machine, verdict

import resnext_dsl as rx
from resnext_dsl.costs.fvcore_count import measure

SPEC = Path(__file__).parent.parent / "specs" / "resnext50_32x4d.arch"
CANDIDATES = 1_000_000
CHECKED = 200
LARGEST = 6_000_000_000
"""FLOPs of the largest candidates that are built; the widest of the space would need tens of gigabytes."""


def main() -> None:
    """Prints the figures."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from references import torchvision

    print(machine())
    space = rx.space(SPEC)
    construct = torchvision.models.resnext50_32x4d
    values = itertools.cycle({"cardinality": 8, "width": width} for width in range(8, 33))  # others every time
    text, again, peer = interleaved(
        15,
        lambda: rx.load(SPEC).cost(),
        lambda: space.bind(next(values)).cost(),
        lambda: measure(construct(), (3, 224, 224)),
    )
    name = "torchvision's module and fvcore"
    print(line("text -> cost of resnext50_32x4d", text, peer, name))
    print(verdict(text, 10))
    print(line("a spec that has been read -> cost with other values", again, peer, name))
    print(verdict(again, 3))
    _candidates(space, peer.median)


def _candidates(space: Any, peer: float) -> None:
    columns = _drawn(CANDIDATES)
    taken = []
    for _ in range(5):
        start = time.process_time()
        cost = space.cost(columns)
        taken.append(time.process_time() - start)
    rate = CANDIDATES / statistics.median(taken)
    print(
        f"cost of {CANDIDATES:,} candidates of four parameters ({cost.method}): {rate:,.0f} a second on one core, "
        f"every one checked; {name_of_peer(peer)}: {1000 / peer:.1f} a second"
    )
    print(f"  bound 1,000,000 a second: {'kept' if rate >= 1_000_000 else 'NOT kept'}")
    small = np.flatnonzero(cost.flops <= LARGEST)[:CHECKED].tolist()
    wrong = sum(not _agrees(space, columns, cost, place) for place in small)
    print(f"  differences from fvcore on the compiled modules of {len(small)} of up to {LARGEST:.0e} FLOPs: {wrong}")


def name_of_peer(peer: float) -> str:
    """The peer, with its milliseconds for one candidate."""
    return f"torchvision's module and fvcore at {peer:.0f} ms each"


def _drawn(count: int) -> dict[str, Any]:
    """Random candidates: cardinality, width, and the depths of the two stages in the middle."""
    generator = np.random.default_rng(0)
    ends = np.full(count, 3)
    middle = generator.integers(1, 9, count), generator.integers(1, 37, count)
    return {
        "cardinality": 2 ** generator.integers(0, 7, count),
        "width": generator.integers(1, 65, count),
        "depths": np.stack([ends, *middle, ends], axis=1),
    }


def _agrees(space: Any, columns: dict[str, Any], cost: Any, place: int) -> bool:
    values = {name: column[place].tolist() for name, column in columns.items()}
    measured = measure(space.bind(values).compile(form="written"), (3, 224, 224)).cost
    figures = cost.params[place], cost.flops[place], cost.activations[place]
    return bool(cost.valid[place]) and figures == (measured.params, measured.flops, measured.activations)


if __name__ == "__main__":
    main()
