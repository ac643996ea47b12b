"""Costs that fvcore measures on a module. They are the oracle for the closed forms."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resnext_dsl.costs.closed_form import COST_MEASURES, Cost, NetworkCost
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.graph.ir import Node
from resnext_dsl.operators import OPERATORS, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class FvcoreCount:
    """The counts of fvcore on a module at batch 1 in eval mode.

    Attributes:
        cost: Totals; `macs` is the part of convolutions and linear layers.
        flops_by_operator: FLOPs by fvcore's names of operators: conv, linear, batch_norm, ...
        modules: Cost of each module by name; "" is the whole network. A module counts in its parents too.
    """

    cost: Cost
    flops_by_operator: dict[str, int]
    modules: dict[str, Cost] = field(default_factory=dict)


MATRIX_PRODUCTS = ("addmm", "matmul")
"""fvcore's names of matrix products, which networks of other libraries compute without a layer."""

ELEMENTS = "activations"
"""The name of the activations among the counts of fvcore's operators."""

Handle = Callable[[list[Any], list[Any]], Any]
"""Counts an operator of fvcore's trace from its inputs and outputs."""


NORM = "batch_norm"
"""fvcore's name of the batch norm that standardizes weights."""


def measure(model: nn.Module, shape: Shape) -> FvcoreCount:
    """Runs fvcore on a module on the CPU, and restores the module's mode.

    fvcore fails on meta tensors, so a module on the meta device moves to the CPU, with zeros as weights. No count
    depends on the values of the weights, so there is no need to draw them.

    Args:
        model: The compiled network.
        shape: Input shape without batch.
    """
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        for tensor in model.to_empty(device="cpu").state_dict().values():
            tensor.zero_()
    training = model.training
    model.eval()
    try:
        with warnings.catch_warnings():
            # fvcore traces the module, and torch warns that tracing is deprecated.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=r"`torch\.jit")
            return _counted(model, shape)
    finally:
        model.train(training)


def _counted(model: nn.Module, shape: Shape) -> FvcoreCount:
    import torch
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    example = (torch.zeros(1, *shape),)
    counted = FlopCountAnalysis(model, example).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    for operator, count in ActivationCountAnalysis(model, example)._op_handles.items():
        counted.set_op_handle(operator, _both(operator, counted._op_handles.get(operator), count))
    flops = counted.by_module_and_operator()
    elements = {name: counts.pop(ELEMENTS, 0) for name, counts in flops.items()}
    multiplies = {*MATRIX_PRODUCTS, *(row.fvcore for row in OPERATORS.values() if row.multiplies)}
    modules = {
        name: Cost(
            params=sum(parameter.numel() for parameter in module.parameters()),
            flops=int(sum(flops[name].values())),
            macs=int(sum(flops[name].get(operator, 0) for operator in multiplies)),
            activations=int(elements[name]),
        )
        for name, module in model.named_modules()
    }
    return FvcoreCount(modules[""], {name: int(count) for name, count in flops[""].items()}, modules)


def _both(operator: str, flops: Handle | None, elements: Handle) -> Handle:
    """A handle of fvcore that counts FLOPs and activations, so that the module is traced once and not twice."""

    def count(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        counts = _counter(flops(inputs, outputs), operator.partition("::")[2]) if flops is not None else Counter[str]()
        counts[ELEMENTS] = sum(_counter(elements(inputs, outputs), ELEMENTS).values())
        return counts

    return count


def _counter(count: Any, name: str) -> Counter[str]:
    """The result of a handle: either counts by name, or the count of the operator itself."""
    return Counter(count) if isinstance(count, Mapping) else Counter({name: count})


@dataclass(frozen=True, slots=True)
class CountPair:
    """Two counts of one module: in closed form, and by fvcore."""

    name: str
    closed: Cost
    measured: Cost

    @property
    def equal(self) -> bool:
        """Whether the counts are equal."""
        return self.closed == self.measured


def module_pairs(closed: NetworkCost, measured: FvcoreCount) -> list[CountPair]:
    """Both counts of every module, the whole network first; also of nodes that only the closed form gives a cost.

    An expression such as `F.interpolate` is no module: fvcore counts it in the module around it. So a node without a
    module is left out if that module has equal counts.
    """
    ours = closed.by_module()
    others = [name for name, cost in ours.items() if name not in measured.modules and cost != Cost()]
    others = [name for name in others if not _equal_around(name, ours, measured)]
    names = [*measured.modules, *others]
    return [CountPair(name, ours.get(name, Cost()), measured.modules.get(name, Cost())) for name in names]


def _equal_around(name: str, ours: dict[str, Cost], measured: FvcoreCount) -> bool:
    """Whether the innermost module around a node has equal counts."""
    while name and name not in measured.modules:
        name = name.rpartition(".")[0]
    return ours[name] == measured.modules.get(name)


def operator_pairs(closed: NetworkCost, measured: FvcoreCount) -> list[tuple[str, int, int]]:
    """FLOPs of each of fvcore's operators: name, count in closed form, count by fvcore."""
    ours: Counter[str] = Counter()
    for node, cost in closed.nodes:
        if cost.flops:
            ours[_fvcore_name(node)] += cost.flops
        if cost.flops != cost.macs and OPERATORS[node.operator].weight_flops is not None:
            ours[_fvcore_name(node)] -= cost.flops - cost.macs
            ours[NORM] += cost.flops - cost.macs
    counted = {name: count for name, count in measured.flops_by_operator.items() if count}
    return [(name, ours[name], counted.get(name, 0)) for name in sorted({*ours, *counted})]


def _fvcore_name(node: Node) -> str:
    attributes = dict(node.attributes) if node.attributes is not None else {}
    return OPERATORS[node.operator].fvcore.format(**attributes)


def agree(closed: NetworkCost, measured: FvcoreCount) -> None:
    """Compares the closed form with the measurement: in total, for each module and for each operator.

    Raises:
        ArchError: E801 with every total that differs, else with the first module or operator that differs. It is an
            internal error, not an error in the spec.
    """
    wrong = _difference(closed, measured.cost)
    if wrong:
        raise _internal_error(f"two counts of the same network differ: {wrong}")
    for pair in module_pairs(closed, measured) if measured.modules else []:
        if not pair.equal:
            raise _internal_error(f"two counts of `{pair.name}` differ: {_difference(pair.closed, pair.measured)}")
    for name, ours, theirs in operator_pairs(closed, measured):
        if ours != theirs:
            raise _internal_error(f"two counts of {name} differ: flops {ours:,} in closed form, {theirs:,} by fvcore")


def _difference(closed: Cost, measured: Cost) -> str:
    """The figures that differ, with both values; "" if all are equal."""
    pairs = [(name, getattr(closed, name), getattr(measured, name)) for name in COST_MEASURES]
    return "; ".join(
        f"{name} {ours:,} in closed form, {theirs:,} by fvcore" for name, ours, theirs in pairs if ours != theirs
    )


def _internal_error(message: str) -> ArchError:
    return ArchError([Diagnostic("E801", message, hint="please report this with the spec")])
