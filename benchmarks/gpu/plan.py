"""The parts of a command, in the order in which they run. No part is imported here.

A part is a function `(run) -> None`, named as `module:function`. `seconds` is the time that it may take; it sees what
is left of it and leaves out the rest. What a part does not use, the next ones have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a command.

    Attributes:
        name: Its name in the table, and for `--only`.
        function: `module:function`, the module below `benchmarks.gpu`.
        seconds: The time that it may take.
        alone: Whether it needs a process of its own, because it breaks the CUDA context or changes the process.
    """

    name: str
    function: str
    seconds: float
    alone: bool = False


ENVIRONMENT = Part("environment", "environment:report", 20)
"""The first part of every command: it refuses a machine without a GPU."""

TRUTH = (
    ENVIRONMENT,
    Part("against the CPU", "truth.agreement:six_networks", 40),
    Part("layouts", "truth.layouts:layouts", 30),
    Part("seeds", "truth.seeds:seeds", 10),
    Part("digits", "truth.commands:digits", 25),
    Part("mixed precision", "truth.commands:mixed", 25),
    Part("training", "truth.training:autocast", 15),
    Part("forms", "truth.seeds:forms", 10),
    Part("weights", "truth.seeds:weights", 8),
    Part("checkpointing", "truth.training:checkpointing", 10),
    Part("events", "truth.graphs:events", 15),
    Part("memory", "truth.memory:variants", 20),
    Part("visible devices", "truth.faults:visible_devices", 10),
    Part("latency", "truth.commands:latency", 10),
    Part("device assert", "truth.faults:device_assert", 15, alone=True),
    Part("out of memory", "truth.faults:out_of_memory", 30, alone=True),
    Part("compile", "truth.graphs:compiled", 40),
    Part("search", "truth.searching:four_workers", 35),
    Part("search with faults", "truth.searching:faults", 30),
    Part("bench", "truth.commands:bench", 45),
    Part("export", "truth.commands:export", 45),
    Part("float64", "truth.agreement:float64", 15),
    Part("every network", "truth.agreement:every_network", 60),
    Part("bench, compiled", "truth.commands:bench_compiled", 120),
    Part("memory, compiled", "truth.memory:compiled", 60),
)
"""Parts that need no process of the package come first, and parts that start several such processes last."""

TAX = (
    ENVIRONMENT,
    Part("networks", "tax.networks:eager", 90),
    Part("compiled", "tax.networks:compiled", 300),
    Part("floors", "tax.floors:floors", 15),
    Part("layers", "tax.layers:layers", 80),
    Part("other networks", "tax.networks:others", 60),
    Part("batch 1", "tax.networks:single", 20),
    Part("max-autotune", "tax.networks:autotuned", 120),
)
"""The networks whose ratio says how large the tax is come first, in eager mode and compiled; other facts follow."""


LIBRARIES = (
    "torch",
    "torch._inductor.config",
    "benchmarks.gpu.libraries",
    "fvcore.nn",
    "resnext_dsl.compiler.torch_module",
)
PRELOADED = {
    "truth": (*LIBRARIES, "lightning_fabric", "sklearn.datasets", "optuna", "resnext_dsl.cli", "resnext_dsl.train.run"),
    "tax": LIBRARIES,
    "kernels": LIBRARIES,
}
"""The modules that the fork server of a command imports. A module that cannot be imported is skipped."""

KERNELS = (
    ENVIRONMENT,
    Part("kernel results", "kernels.results:results", 150),
    Part("kernel layers", "kernels.layer_times:layer_times", 80),
    Part("kernel networks", "kernels.network_times:eager", 90),
    Part("kernel networks, compiled", "kernels.network_times:compiled", 120),
)

COMMANDS = {"truth": TRUTH, "tax": TAX, "kernels": KERNELS}
SECONDS = {"truth": 300.0, "tax": 580.0, "kernels": 440.0}
"""The time of a whole command, if `--seconds` does not say another."""


DRY_FACTOR = 10.0
"""A dry run has so many times the time: it must not fail on a slow machine."""


def chosen(command: str, only: list[str], dry: bool = False) -> tuple[Part, ...]:
    """The parts of a command; of those that are named, and the environment, if any are.

    Args:
        command: A key of `COMMANDS`.
        only: Names of parts.
        dry: Whether the parts have the time of a dry run.

    Raises:
        ValueError: For a part that the command does not have.
    """
    parts = COMMANDS[command]
    names = [part.name for part in parts]
    for name in only:
        if name not in names:
            raise ValueError(f"`{command}` has no part `{name}`; it has {', '.join(names)}")
    picked = [part for part in parts if not only or part is ENVIRONMENT or part.name in only]
    return tuple(replace(part, seconds=part.seconds * (DRY_FACTOR if dry else 1.0)) for part in picked)
