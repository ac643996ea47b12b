"""Builds the torch module of a graph: rewrites the graph, emits its source, runs the source, and builds its network.

A compiled network has the classes of the emitted file, so that both mean the same.
"""

from __future__ import annotations

import gc
import hashlib
import linecache
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import ModuleType

import torch
from torch import nn

from resnext_dsl.compiler.meta_device import unfilled
from resnext_dsl.devices.memory_format import AUTO, CHANNELS_LAST, CONTIGUOUS, groups_of, laid_out, layout_of
from resnext_dsl.devices.seeds import seeded
from resnext_dsl.emit import emit
from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.graph.ir import Graph, tensors_of
from resnext_dsl.kernels.module_kernels import TORCH, takes_kernels, with_kernels
from resnext_dsl.rewrite import rewrite
from resnext_dsl.rewrite.carry import carry
from resnext_dsl.rewrite.initial import moved
from resnext_dsl.semantics.init_schemes import SchemeRule
from resnext_dsl.weights import load_weights
from resnext_dsl.weights.checkpoint import Weights, checkpoint_of

META = torch.device("meta")

SWEPT = 100
"""The modules of emitted source between two sweeps, which remove the modules that no model uses."""

MOST_NUMBERS = 2**63 - 1
"""The most numbers of a tensor of torch."""

_PREFIX = "resnext_dsl_compiled_"


def build(
    graph: Graph,
    init: Sequence[SchemeRule] = (),
    *,
    form: str = "fastest",
    mode: str = "train",
    weights: Weights | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    seed: int | None = None,
    max_nodes: int = DEFAULTS.max_nodes,
    siblings: bool = False,
    layout: str = "auto",
    kernels: str = TORCH,
) -> nn.Module:
    """The module of a graph.

    Args:
        graph: A verified graph.
        init: Rules of the initial weights; weights without a rule start as in torch. In any form they are the weights
            of the graph as written, so that one seed gives one function.
        form: One of `rewrite.FORMS`.
        mode: "train", or "inference": norms folded, parameters frozen, in eval mode (`rewrite.MODES`).
        weights: A checkpoint to load: ours of any form, torchvision's or timm's of the same network; `Checkpoint` has
            further choices.
        device: Device of the parameters; "meta" creates none.
        dtype: Type of floating-point parameters and buffers; torch's default if None. Initial weights are drawn in the
            default type and rounded, so that one seed gives one network.
        seed: Makes the initial weights reproducible, and equal on every device: they are drawn on the CPU and moved.
            torch's generators keep their states.
        max_nodes: The most operators that a form may have.
        siblings: Also merge convolutions that read one value and have different readers.
        layout: Memory format of the weights: one of `memory_format.LAYOUTS`.
        kernels: One of `module_kernels.KERNELS`. "auto" gives grouped 3x3 convolutions on a GPU the faster of torch's
            kernels and ours, and a network with such convolutions channels_last memory if `layout` is "auto".

    Raises:
        ValueError: If the form, mode, layout or kernels are unknown.
        ArchError: If the network has no such form.
        WeightsError: If the checkpoint does not fit; nothing is loaded then.
    """
    _check_sizes(graph)
    rewritten = rewrite(graph, form, mode, max_nodes, siblings)
    place = torch.device(device) if device is not None else torch.get_default_device()
    computed = str(dtype or torch.get_default_dtype()).removeprefix("torch.")
    chosen = layout_of(layout, mode, place.type, computed, groups_of(rewritten.graph))
    # a checkpoint replaces the initial weights, except those of layers that it lacks
    bare = weights is not None and not checkpoint_of(weights).new_layers and place.type != "meta"
    model = _constructed(emit(graph, init), META if bare else _drawn_on(place, seed), seed)
    if dtype is not None:
        # folding computes with the weights before they are rounded
        model = model.to(torch.promote_types(dtype, torch.get_default_dtype()))
    if weights is not None:
        load_weights(model, weights, graph, max_nodes)
    if rewritten.graph is not graph:
        state = carry(rewritten.weights, model.state_dict())
        model = _constructed(emit(rewritten.graph, moved(graph, rewritten, init)), META)
        model.load_state_dict(state, assign=True)
    model = model.to(device=place, dtype=dtype)
    if takes_kernels(kernels, place) and with_kernels(model) and layout == AUTO:
        chosen = CHANNELS_LAST
    if chosen != CONTIGUOUS:
        model = laid_out(model, chosen)
    return model.train() if mode == "train" else model.eval().requires_grad_(False)


def _check_sizes(graph: Graph) -> None:
    """Checks that torch can hold every weight.

    Raises:
        ArchError: E205 for the first weight that is too large.
    """
    for node in graph.nodes:
        for tensor in tensors_of(graph, node):
            count = math.prod(tensor.shape)
            if count > MOST_NUMBERS:
                message = f"`{tensor.field}` of `{node.name}` has {count} numbers; torch holds at most {MOST_NUMBERS}"
                raise error("E205", message, node.span)


def _drawn_on(place: torch.device, seed: int | None) -> torch.device:
    """The device that draws initial weights; with a seed the CPU, since each kind of device has another generator."""
    return place if seed is None or place.type == "meta" else torch.device("cpu")


def _constructed(source: str, device: torch.device, seed: int | None = None) -> nn.Module:
    """Constructs the network of emitted source on a device."""
    # a device context lets Python see every function of torch, which the default device does not need
    place = nullcontext() if device == torch.get_default_device() else device
    with place, unfilled(device), nullcontext() if seed is None else seeded(seed, device):
        return _network_class(source)()


def _network_class(source: str) -> type[nn.Module]:
    """The class of the network that emitted source defines."""
    module = _module(source)
    network: type[nn.Module] = module.__dict__[_last_class(source)]
    return network


def _last_class(source: str) -> str:
    line = [line for line in source.splitlines() if line.startswith("class ")][-1]
    return line.removeprefix("class ").partition("(")[0]


def _module(source: str) -> ModuleType:
    """The Python module of emitted source; equal sources share one module.

    The module is in `sys.modules`, since torch.compile imports the module of an inlined function by name, and pickled
    networks name theirs. Its lines are in `linecache`, so that tracebacks and torch.jit.script show them.
    """
    name = _PREFIX + hashlib.sha256(source.encode()).hexdigest()[:16]
    known = sys.modules.get(name)
    if known is not None:
        return known
    _sweep()
    module = ModuleType(name)
    file = _file(name)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    # The source holds no text of a spec's author: `emit` writes every statement itself. It takes from a spec only
    # names that are identifiers, and literals that it prints itself.
    exec(compile(source, file, "exec"), module.__dict__)
    sys.modules[name] = module
    return module


def _file(name: str) -> str:
    return f"<{name}>"


def _sweep() -> None:
    """Removes modules of emitted source that no living object uses: a search may compile thousands of networks."""
    names = [name for name in sys.modules if name.startswith(_PREFIX)]
    if not names or len(names) % SWEPT:
        return
    alive = {type(instance).__module__ for instance in gc.get_objects()}
    for name in names:
        if name not in alive:
            del sys.modules[name]
            linecache.cache.pop(_file(name), None)
