"""Runs a network beside the module that its weights come from, and finds the first layer whose values differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from resnext_dsl.foundation.diagnostics import Diagnostic, Note, WeightsError
from resnext_dsl.graph.ir import Graph
from resnext_dsl.weights.leaves import layer_of
from resnext_dsl.weights.shown import shown

TOLERANCE = 1e-4
"""The largest difference of two equal values, as a share of the largest value: float32 rounds differently by kernel."""

MAX_NOTES = 12
"""The most layers before the difference that the error lists."""


class LayerDifference(NamedTuple):
    """The values of one layer on both sides.

    Attributes:
        ours: The network's layer.
        theirs: The reference's layer.
        before: The largest difference of the inputs, as a share of their largest value; infinite if shapes differ.
        after: The same for the outputs.
    """

    ours: str
    theirs: str
    before: float
    after: float

    @property
    def differs(self) -> bool:
        """Whether its inputs or outputs differ."""
        return not (self.before <= TOLERANCE and self.after <= TOLERANCE)  # nan is a difference


class _Values(NamedTuple):
    before: Tensor
    after: Tensor


def compare_layers(
    model: nn.Module,
    reference: nn.Module,
    image: Tensor,
    rows: Sequence[tuple[str, str]],
    state: Mapping[str, Tensor] = MappingProxyType({}),
) -> list[LayerDifference]:
    """The differences of the layers, in the order of the network, until the first one that differs.

    Args:
        model: A compiled network, as written.
        reference: The module that its weights come from, with these weights.
        image: The input of both.
        rows: The network's keys, each with the reference's key.
        state: Weights for the reference in place of its own, which it keeps.
    """
    pairs = _layers(model, reference, rows)
    with _recorded(model, [ours for ours, _ in pairs]) as here, _recorded(reference, [t for _, t in pairs]) as there:
        _run(model, image)
        _run(reference, image, state)
    differences: list[LayerDifference] = []
    order = {name: number for number, name in enumerate(here)}
    for ours, theirs in sorted(pairs, key=lambda pair: order.get(pair[0], len(order))):
        if ours not in here or theirs not in there:
            continue  # a head that runs in training only
        before = _difference(here[ours].before, there[theirs].before)
        differences.append(LayerDifference(ours, theirs, before, _difference(here[ours].after, there[theirs].after)))
        if differences[-1].differs:
            break
    return differences


def agree_with_reference(
    model: nn.Module,
    reference: nn.Module,
    graph: Graph,
    rows: Sequence[tuple[str, str]],
    state: Mapping[str, Tensor],
    file: str,
) -> list[LayerDifference]:
    """Runs both on one random input, and returns the differences of all layers.

    The reference runs with the weights of the checkpoint if it has their keys, else with its own weights.

    Raises:
        WeightsError: E706 with the layers until the first one that differs, or if the outputs differ. E708 if the
            reference cannot be run.
    """
    image = torch.randn(1, *graph.nodes[0].shape, generator=torch.Generator().manual_seed(0))
    if not _fits(state, reference):
        state = {}
    try:
        differences = compare_layers(model, reference, image, rows, state)
    except Exception as reason:  # code of a user may raise any exception
        text = str(reason).strip().partition("\n")[0][:200]
        message = f"the reference cannot be run on an input of {list(image.shape)}: {type(reason).__name__}: {text}"
        raise WeightsError([Diagnostic("E708", message, file=file)]) from None
    last = differences[-1] if differences else None
    if last is not None and last.differs:
        raise WeightsError([_layer_differs(differences, graph, file)])
    outputs = _difference(_run(model, image), _run(reference, image, state))
    if not outputs <= TOLERANCE:
        after = f" after `{shown(last.ours)}`, its last layer with weights" if last is not None else ""
        message = f"the outputs of the network differ from the reference by {_share(outputs)}{after}"
        raise WeightsError([Diagnostic("E706", message, file=file)])
    return differences


def _fits(state: Mapping[str, Tensor], reference: nn.Module) -> bool:
    """Whether a module has tensors of all keys and shapes of a state_dict."""
    shapes = {key: tensor.shape for key, tensor in reference.state_dict().items()}
    return all(shapes.get(key) == tensor.shape for key, tensor in state.items())


def _layer_differs(differences: Sequence[LayerDifference], graph: Graph, file: str) -> Diagnostic:
    last = differences[-1]
    span = next((node.span for node in graph.nodes if node.module_name == last.ours), None)
    pair = f"`{shown(last.ours)}` (`{shown(last.theirs)}` of the reference)"
    if not last.before <= TOLERANCE:
        message = f"the input of {pair} differs from the reference by {_share(last.before)}"
        hint = "compare the operators before it that have no weights: activation, pooling, padding, order"
    else:
        message = f"the output of {pair} differs from the reference by {_share(last.after)}, and its input is equal"
        hint = "compare the attributes of the layer (stride, padding, dilation, eps) and the map of its weights"
    notes = [Note(f"`{shown(d.ours)}` and `{shown(d.theirs)}`: {_share(d.after)}") for d in differences[:-1]]
    if len(notes) > MAX_NOTES:
        notes = [Note(f"{len(notes) - MAX_NOTES} layers before these are equal"), *notes[-MAX_NOTES:]]
    return Diagnostic("E706", message, span, hint=hint, notes=tuple(notes), file=file)


def _share(difference: float) -> str:
    return "its shape" if difference == float("inf") else f"{difference:.1e} of the largest value"


def _layers(model: nn.Module, reference: nn.Module, rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The layers that correspond one to one and are modules on both sides."""
    here, there = dict(model.named_modules()), dict(reference.named_modules())
    pairs = dict.fromkeys((layer_of(ours)[0], layer_of(theirs)[0]) for ours, theirs in rows if ", " not in theirs)
    return [(ours, theirs) for ours, theirs in pairs if ours in here and theirs in there]


@contextmanager
def _recorded(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, _Values]]:
    """Records the input and output of layers while a model runs.

    A layer that runs several times is left out, because the other model may run it in another order.
    """
    values: dict[str, _Values] = {}
    modules = dict(model.named_modules())

    handles = []
    inputs: dict[str, Tensor] = {}
    repeated: set[str] = set()
    for name in names:

        def keep(_: nn.Module, arguments: tuple[object, ...], name: str = name) -> None:
            if name in inputs:
                repeated.add(name)
            if arguments and isinstance(arguments[0], Tensor):
                inputs.setdefault(name, arguments[0].detach().clone())  # the layer may write over its input

        def store(_: nn.Module, __: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor) and name in inputs:
                values.setdefault(name, _Values(inputs[name], output.detach().clone()))

        handles += [modules[name].register_forward_pre_hook(keep), modules[name].register_forward_hook(store)]
    try:
        yield values
    finally:
        for handle in handles:
            handle.remove()
        for name in repeated:
            values.pop(name, None)


def _run(model: nn.Module, image: Tensor, state: Mapping[str, Tensor] = MappingProxyType({})) -> Tensor:
    """The output of a model in eval mode, without a change to its mode."""
    training = {module: module.training for module in model.modules()}
    like = next((p for p in model.parameters() if p.is_floating_point()), image)
    try:
        with torch.no_grad():
            output = functional_call(model.eval(), dict(state), (image.to(like.device, like.dtype),))
    finally:
        for module, mode in training.items():
            module.training = mode
    while not isinstance(output, Tensor):
        output = next(iter(output.values())) if isinstance(output, dict) else output[0]
    return output


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value; infinite if the numbers of elements differ."""
    if ours.numel() != theirs.numel():
        return float("inf")
    ours, theirs = ours.double().cpu().flatten(), theirs.double().cpu().flatten()
    largest = theirs.abs().max().item() if theirs.numel() else 0.0
    difference = (ours - theirs).abs().max().item() if ours.numel() else 0.0
    return difference / largest if largest else difference
