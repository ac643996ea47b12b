"""A small language for split-transform-merge networks, and its compiler to torch modules.

One example through every stage, for a file `tiny.arch` that says `stage conv2 repeat 3 { block(256, width) }`:

    text      read by `files`, cut into tokens by `lexer`
    tree      `parse` (the grammar is `grammar/arch.lark`) -> `Part("conv2", count=3, body=[Apply("block", ...)])`
    names     `resolve` finds `block` and checks its arguments; `bind` gives `width` its value
    graph     `construct`: `count` bounds the size, `expand` runs the statements -> nodes, `conv2.0.conv1` ...
    verified  `verify` holds every node against the rule of its operator (`operators`)
    network   all of this is `pipeline`; what may be asked of its result is `network`
    cost      `cost` adds up the closed forms of the operators, `budget` compares them with the file's limits
    form      `rewrite` makes one convolution of 32 paths, and says how the weights move
    source    `emit` writes a class `Block` and `self.conv2 = nn.Sequential(...)`
    module    `compile` runs that source, `weights` fills it
    others    `export` writes other formats, `bench` times them, `train` trains

Torch is imported by the last two rows only, and by `scores`, which judges an untrained module. `space` opens the
parameters of a file: `symbolic` binds columns of values for them, `priced` expands them, and `price` gives what every
candidate costs; `sample` draws candidates that keep the budgets. Numpy is imported there only. `searches`
evaluates candidates of a space; Optuna is imported there only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.diagnostics import (
    ArchError,
    BudgetError,
    Diagnostic,
    RequirementError,
    ShapeError,
    SpecSyntaxError,
    TrainingError,
    WeightsError,
)
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.version import __version__
from resnext_dsl.networks.loading import load, loads
from resnext_dsl.networks.network import Network

if TYPE_CHECKING:
    from resnext_dsl.searches import search
    from resnext_dsl.spaces.space import space

__all__ = [
    "ArchError",
    "BudgetError",
    "Diagnostic",
    "Network",
    "Options",
    "RequirementError",
    "ShapeError",
    "SpecSyntaxError",
    "TrainingError",
    "WeightsError",
    "__version__",
    "load",
    "loads",
    "search",
    "space",
]


def __getattr__(name: str) -> Any:
    # Importing numpy takes longer than all of `check`, importing Optuna longer still.
    modules = {"space": "spaces.space", "search": "searches"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(f"{__name__}.{modules[name]}"), name)
    return globals()[name]
