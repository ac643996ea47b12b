"""The table of measures that a budget may limit: the unit, the arguments, and the function that computes each.

A row holds everything that is particular to a measure. The code that binds, checks and reports limits reads the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from resnext_dsl.costs.closed_form import Cost, depth_of
from resnext_dsl.foundation.number_types import DEFAULT_TYPE, NUMBER_TYPES
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.units import BYTES, COUNT, TIME, Unit
from resnext_dsl.graph.ir import reachable
from resnext_dsl.operators.base import REQUIRED, Shape

if TYPE_CHECKING:
    import torch

    from resnext_dsl.costs.closed_form import NetworkCost
    from resnext_dsl.costs.memory_use import MemoryUse
    from resnext_dsl.graph.ir import Graph


class MeasureArgument(NamedTuple):
    """A parameter of a measure, or of a budget as a whole.

    Attributes:
        name: The name.
        type: The type of its values.
        fits: Whether a value of that type is valid.
        expected: The valid values, in words.
        words: Names that are values if no declaration has that name.
        default: The default value, or `REQUIRED`.
    """

    name: str
    type: type
    fits: Callable[[Any], bool]
    expected: str
    words: tuple[str, ...] = ()
    default: Any = REQUIRED


DTYPE = MeasureArgument(
    "dtype",
    str,
    NUMBER_TYPES.__contains__,
    f"one of {', '.join(NUMBER_TYPES)}",
    tuple(NUMBER_TYPES),
    DEFAULT_TYPE,
)
DEVICE = MeasureArgument(
    "device",
    str,
    lambda name: re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name) is not None,
    'cpu, cuda or a numbered one such as "cuda:1"',
    ("cpu", "cuda"),
)
BATCH = MeasureArgument("batch", int, lambda count: 1 <= count < 2**31, "an int of at least 1")


class Measurable(Protocol):
    """The members of a network that measures use; `Network` documents them."""

    @property
    def ir(self) -> Graph: ...  # noqa: D102

    def cost(self, training: bool = False) -> NetworkCost: ...  # noqa: D102

    def memory(self, dtype: str = DEFAULT_TYPE, batch: int = 1) -> MemoryUse: ...  # noqa: D102

    def at(self, shape: Shape) -> Measurable: ...  # noqa: D102

    def compile(  # noqa: D102
        self,
        *,
        mode: str = "train",
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        seed: int | None = None,
    ) -> torch.nn.Module: ...


class Subject(NamedTuple):
    """The subject of a measure: a network at some input, or a part of it, with the other conditions.

    Attributes:
        network: The network.
        part: The name of a part, a scope or an operator in the graph; "" for the whole network.
        dtype: A key of `NUMBER_TYPES`.
        arguments: The arguments of the measure, by name.
    """

    network: Measurable
    part: str
    dtype: str
    arguments: Mapping[str, Any]


class Measure(NamedTuple):
    """A measure that a budget may limit.

    Attributes:
        unit: The unit of its bounds.
        read: Computes the measure in closed form; None for a measure that needs a machine.
        share: The share of one operator in the measure; None if the measure is not a sum over operators.
        of_parts: Whether a part of a network has this measure.
        arguments: The parameters of the measure.
    """

    unit: Unit
    read: Callable[[Subject], float] | None
    share: Callable[[Cost], int] | None = None
    of_parts: bool = True
    arguments: tuple[MeasureArgument, ...] = ()


def _sum_of(share: Callable[[Cost], int]) -> Measure:
    """The row of a measure that is a sum over operators."""

    def read(subject: Subject) -> int:
        members = members_of(subject)
        return sum(share(cost) for index, (_, cost) in enumerate(subject.network.cost().nodes) if index in members)

    return Measure(COUNT, read, share)


def _depth(subject: Subject) -> int:
    graph = subject.network.ir
    runs = reachable(graph, [output.node for output in graph.outputs if not output.training_only])
    return depth_of(graph, runs, members_of(subject))


def members_of(subject: Subject) -> frozenset[int]:
    """The positions of the nodes of a subject; for the name of a shared instance, those of all its uses."""
    nodes = subject.network.ir.nodes
    if not subject.part:
        return frozenset(range(len(nodes)))
    inside = f"{subject.part}."
    names = [(node.name, node.module_name) for node in nodes]
    return frozenset(
        i for i, known in enumerate(names) if any(name == subject.part or name.startswith(inside) for name in known)
    )


def _memory(attribute: str, *arguments: MeasureArgument) -> Measure:
    """The row of a figure of `Network.memory`."""

    def read(subject: Subject) -> int:
        use = subject.network.memory(subject.dtype, subject.arguments.get("batch", 1))
        return int(getattr(use, attribute))

    return Measure(BYTES, read, of_parts=False, arguments=arguments)


ONE_SAMPLE = BATCH._replace(default=1)

MEASURES: dict[str, Measure] = {
    "params": _sum_of(lambda cost: cost.params),
    "flops": _sum_of(lambda cost: cost.flops),
    "macs": _sum_of(lambda cost: cost.macs),
    "activations": _sum_of(lambda cost: cost.activations),
    "depth": Measure(COUNT, _depth),
    "weights": _memory("weights"),
    "peak_activations": _memory("peak_activations", ONE_SAMPLE),
    "saved_activations": _memory("saved_activations", ONE_SAMPLE),
    "latency": Measure(TIME, None, of_parts=False, arguments=(DEVICE, BATCH)),
}
