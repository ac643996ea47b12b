"""Times samples of a space with a FLOP budget, against torchvision's modules counted by fvcore.

python benchmarks/space.py [CANDIDATES]
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from timing import machine

from resnext_dsl.costs.fvcore_count import measure

SPEC = """
from std.blocks import bottleneck
network resnexts {
    input image: 3x224x224
    param cardinality = 32 in {1, 2, 4, 8, 16, 32, 64}
    param width       = 4 in 1..64
    param depth3      = 4 in 1..12
    param depth4      = 6 in 1..36
    stem { conv(64, 7x7, stride=2); bn; relu; maxpool(3x3, stride=2) }
    stage conv2 repeat 3 { bottleneck(256, width, cardinality) }
    stage conv3 repeat depth3 { bottleneck(512, width * 2, cardinality, stride=first(2, 1)) }
    stage conv4 repeat depth4 { bottleneck(1024, width * 4, cardinality, stride=first(2, 1)) }
    stage conv5 repeat 3 { bottleneck(2048, width * 8, cardinality, stride=first(2, 1)) }
    head { avgpool(global); flatten; linear(1000) }
    budget { flops <= 12G }
}
"""
CHECKED = 20


def main() -> None:
    """Prints the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from space_oracle import space_from

    print(machine())
    whole = space_from(SPEC)
    rates = []
    for seed in range(5):
        start = time.process_time()
        found = whole.sample(50_000, seed)
        rates.append(len(found) / (time.process_time() - start))
    print(
        f"{len(found):,} candidates of {whole.size:,}, none twice, each priced and within its budget: "
        f"{statistics.median(rates):,.0f} a second on one core ({100 * found.fraction:.0f}% of those drawn are)"
    )
    _verdict("100,000 a second", statistics.median(rates) >= 100_000)
    _million(count)
    _peer(whole, found, statistics.median(rates))


def _million(count: int) -> None:
    """Draws from a wider space, because the one above has fewer candidates."""
    from space_oracle import space_from

    wide = space_from(SPEC.replace("{1, 2, 4, 8, 16, 32, 64}", "1..64").replace("1..12", "1..36").replace("12G", "24G"))
    start = time.process_time()
    found = wide.sample(count)
    taken = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{len(found):,} candidates of {wide.size:,}, {found.looked_at:,} looked at: {taken:.1f} s, "
        f"the process held {memory / 1e6:,.0f} MB at most (torch and torchvision included)"
    )
    _verdict("1 GB", memory < 1e9)


def _peer(space: Any, found: Any, rate: float) -> None:
    """Builds each candidate as a torchvision module and counts it, as a script without this package does."""
    from references import torchvision

    resnet = torchvision.models.resnet

    taken, wrong = [], 0
    for candidate in random.Random(0).sample(list(found), CHECKED):
        layers = [3, candidate["depth3"], candidate["depth4"], 3]
        start = time.process_time()
        module = resnet.ResNet(
            resnet.Bottleneck, layers, groups=candidate["cardinality"], width_per_group=candidate["width"]
        )
        counted = measure(module, (3, 224, 224)).cost.flops
        taken.append(time.process_time() - start)
        wrong += counted != space.bind(candidate).cost().flops
    alone = statistics.median(taken)
    print(
        f"torchvision's module of a candidate, counted by fvcore: {1000 * alone:.0f} ms of one core, "
        f"before it is known whether it is within the budget; ratio {rate * alone:,.0f}; "
        f"of {CHECKED} counted, {wrong} differ from ours"
    )


def _verdict(bound: str, kept: bool) -> None:
    print(f"  bound {bound}: {'kept' if kept else 'NOT kept'}")


if __name__ == "__main__":
    main()
