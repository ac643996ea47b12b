"""Times the import of torch modules as text against torch.fx.symbolic_trace, or torch.export, of the same module.

python benchmarks/importing.py [ROUNDS]
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import torch
from timing import interleaved, line, machine, verdict

from resnext_dsl.importing.imported import import_module

LIMIT = 1.3
"""The largest ratio of an import to the trace that it needs."""

NAMES = ("resnet50", "efficientnet_b0")
BY_EXPORT = ("tf_efficientnet_b0",)
"""Networks that torch.fx cannot trace."""


def main() -> None:
    """Prints the ratios."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from references import timm

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(machine())
    for name in (*NAMES, *BY_EXPORT):
        module = timm.create_model(name).eval()
        example = torch.zeros(2, 3, 224, 224)

        def read(module: torch.nn.Module = module, name: str = name) -> None:
            import_module(module, (3, 224, 224), name, f"timm:{name}")

        def trace(module: torch.nn.Module = module) -> None:
            torch.fx.symbolic_trace(module)

        def export(module: torch.nn.Module = module, example: torch.Tensor = example) -> None:
            torch.export.export(module, (example,), strict=False)

        peer = "torch.export" if name in BY_EXPORT else "torch.fx.symbolic_trace"
        ours, theirs = interleaved(rounds, read, export if name in BY_EXPORT else trace)
        gc.collect()
        print(line(f"import of {name} as text", ours, theirs, peer))
        print(verdict(ours, round(LIMIT * theirs.median, 1)))


if __name__ == "__main__":
    main()
