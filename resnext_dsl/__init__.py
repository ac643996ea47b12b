"""A small language for split-transform-merge networks, and its compiler to torch modules.

One example through every stage, for a file `tiny.arch` with `stage conv2 repeat 3 { block(256, width) }`. Each stage is
a folder of this package:

    syntax      tokens, then a tree -> `PartDeclaration("conv2", times=3, body=[Apply("block", ...)])`
    semantics   the file and its imports; `block` is found, its arguments are checked; `width` gets its value
    expansion   runs the statements, shapes included -> nodes `conv2.0.conv1` ...; a spec that is too large is refused
    graph       checks every node against the rule of its operator in `operators`
    costs       adds the closed forms of the operators; `budgets` compares them with the limits of the file
    networks    runs all of the above -> a `Network`, which answers every question about itself
    rewrite     makes one convolution of 32 paths, and says how the weights move
    emit        writes a class `Block` and `self.conv2 = nn.Sequential(...)`
    compiler    runs that source -> a module; `weights` fills it from a checkpoint, `devices` sets how a GPU computes,
                and `kernels` computes its grouped convolutions there
    arch_text   writes a graph as a text of the language; `importing` reads torch models and model files as graphs
    export      writes other formats; `bench` times them; `train` trains

A file declares a space of networks too. `columns` runs the same stages on columns of parameter values, and gives the
cost of every candidate. `spaces` draws candidates that meet the budgets, and `searches` evaluates them. `display`,
`compare` and `cli` show results.

The stages up to `rewrite` and `emit`, the columns and the spaces run without importing torch. docs/architecture.md has
the same tour with printed values.
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
    WeightsWarning,
)
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.version import __version__
from resnext_dsl.networks.loading import from_torch, load, loads
from resnext_dsl.networks.network import Network

if TYPE_CHECKING:
    from resnext_dsl.searches import search
    from resnext_dsl.spaces.space import space
    from resnext_dsl.weights.checkpoint import Checkpoint

__all__ = [
    "ArchError",
    "BudgetError",
    "Checkpoint",
    "Diagnostic",
    "Network",
    "Options",
    "RequirementError",
    "ShapeError",
    "SpecSyntaxError",
    "TrainingError",
    "WeightsError",
    "WeightsWarning",
    "__version__",
    "from_torch",
    "load",
    "loads",
    "search",
    "space",
]


def __getattr__(name: str) -> Any:
    # Importing numpy takes longer than all of `check`, importing Optuna or torch longer still.
    modules = {"space": "spaces.space", "search": "searches", "Checkpoint": "weights.checkpoint"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(f"{__name__}.{modules[name]}"), name)
    return globals()[name]
