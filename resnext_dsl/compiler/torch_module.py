"""From a graph to a live module: rewrite it, emit its source, run that, build the network that it defines.

The classes of a compiled network are those of the emitted file, so there is one truth about what a graph means.
"""

from __future__ import annotations

import gc
import hashlib
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import ModuleType

import torch
from torch import nn

from resnext_dsl.compiler.meta_device import unfilled
from resnext_dsl.devices.memory_format import CONTIGUOUS, has_groups, laid_out, layout_of
from resnext_dsl.devices.seeds import seeded
from resnext_dsl.emit import emit
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.graph.ir import Graph
from resnext_dsl.rewrite import rewrite
from resnext_dsl.rewrite.carry import carry
from resnext_dsl.rewrite.initial import moved
from resnext_dsl.semantics.init_schemes import SchemeRule
from resnext_dsl.weights import load_weights
from resnext_dsl.weights.forms import as_written

META = torch.device("meta")

SWEPT = 100
"""Each time that there are so many modules of emitted source, or a multiple, those that no model is left of go."""

_PREFIX = "resnext_dsl_compiled_"


def build(
    graph: Graph,
    init: Sequence[SchemeRule] = (),
    *,
    form: str = "fastest",
    mode: str = "train",
    weights: str | os.PathLike[str] | Mapping[str, torch.Tensor] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    seed: int | None = None,
    max_nodes: int = DEFAULTS.max_nodes,
    siblings: bool = False,
    layout: str = "auto",
) -> nn.Module:
    """The module of a graph.

    Args:
        graph: A verified graph.
        init: How the weights start; where no rule says so, as torch starts them. They start as those of the graph as
            written do, in any form: one seed is one function.
        form: One of `rewrite.FORMS`.
        mode: "train", or "inference": norms folded, parameters frozen, in eval mode (`rewrite.MODES`).
        weights: A checkpoint to load: ours of any form, torchvision's or timm's of the same network.
        device: Where its parameters are made; "meta" makes none.
        dtype: Of its floating-point parameters and buffers; torch's default where None. The initial weights are those
            of the default dtype, rounded, so that one seed means one network.
        seed: Makes the initial weights reproducible, the same on every device: they are drawn on the CPU and moved.
            torch's generators stay as they were.
        max_nodes: The most operators that a form may spell it with.
        siblings: Also make one of convolutions that read one value and go different ways.
        layout: Of its weights: one of `memory_format.LAYOUTS`.

    Raises:
        ValueError: For an unknown form, mode or layout.
        ArchError: Where the network has no such form.
        WeightsError: Where the checkpoint does not fit; nothing is loaded then.
    """
    rewritten = rewrite(graph, form, mode, max_nodes, siblings)
    place = torch.device(device) if device is not None else torch.get_default_device()
    computed = str(dtype or torch.get_default_dtype()).removeprefix("torch.")
    chosen = layout_of(layout, mode, place.type, computed, has_groups(rewritten.graph))
    bare = weights is not None and place.type != "meta"  # weights that are loaded need no start
    model = _made(emit(graph, init), META if bare else _drawn_on(place, seed), seed)
    if dtype is not None:
        # what is computed with weights is computed before they are rounded
        model = model.to(torch.promote_types(dtype, torch.get_default_dtype()))
    if weights is not None:
        load_weights(model, as_written(graph, weights, max_nodes))
    if rewritten.graph is not graph:
        state = carry(rewritten.weights, model.state_dict())
        model = _made(emit(rewritten.graph, moved(graph, rewritten, init)), META)
        model.load_state_dict(state, assign=True)
    model = model.to(device=place, dtype=dtype)
    if chosen != CONTIGUOUS:
        model = laid_out(model, chosen)
    return model.train() if mode == "train" else model.eval().requires_grad_(False)


def _drawn_on(place: torch.device, seed: int | None) -> torch.device:
    """Where initial weights are drawn: each kind of device has another generator, so those of a seed on the CPU."""
    return place if seed is None or place.type == "meta" else torch.device("cpu")


def _made(source: str, device: torch.device, seed: int | None = None) -> nn.Module:
    """The network that emitted source defines, on a device."""
    with device, unfilled(device), nullcontext() if seed is None else seeded(seed, device):
        return _network_class(source)()


def _network_class(source: str) -> type[nn.Module]:
    """The class of the network that emitted source defines."""
    module = _module(source)
    found: type[nn.Module] = module.__dict__[_last_class(source)]
    return found


def _last_class(source: str) -> str:
    line = [line for line in source.splitlines() if line.startswith("class ")][-1]
    return line.removeprefix("class ").partition("(")[0]


def _module(source: str) -> ModuleType:
    """Emitted source as a module; the same one for the same source.

    torch.compile imports the module of a function that it inlines by name, and pickled modules name theirs, so it
    stands in `sys.modules`. Its lines stand in `linecache`, so that tracebacks and torch.jit.script show them.
    """
    name = _PREFIX + hashlib.sha256(source.encode()).hexdigest()[:16]
    known = sys.modules.get(name)
    if known is not None:
        return known
    _make_room()
    module = ModuleType(name)
    file = _file(name)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    # This runs no text of a spec's author: `emit` writes every statement itself, and takes from a spec only names
    # that are identifiers and literals that it prints (`emit.names`).
    exec(compile(source, file, "exec"), module.__dict__)
    sys.modules[name] = module
    return module


def _file(name: str) -> str:
    return f"<{name}>"


def _make_room() -> None:
    """Forgets modules of emitted source that nothing alive is of: a search may compile thousands of networks."""
    made = [name for name in sys.modules if name.startswith(_PREFIX)]
    if not made or len(made) % SWEPT:
        return
    alive = {type(thing).__module__ for thing in gc.get_objects()}
    for name in made:
        if name not in alive:
            del sys.modules[name]
            linecache.cache.pop(_file(name), None)
