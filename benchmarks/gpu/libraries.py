"""Networks of torchvision and timm: modules that ours are timed beside, and oracles that ours are compared with.

The error of 16 bits or of TF32 depends on the network and its weights, so no fixed limit tells it from a mistake.
`Oracle` therefore holds a library's module with the same weights. Ours may be `MARGIN` times as far from the exact
result as that module is in the same type and layout. The exact result is that of the library's module in float64.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.gpu.networks import SHALLOW, State, distance, images, load_shipped, settle
from benchmarks.gpu.run import Run
from resnext_dsl.importing.libraries import declare_missing_operators

_DECLARED = declare_missing_operators()
with suppress(Exception):  # a library that is built for another torch raises errors of several kinds
    import torchvision
with suppress(Exception):
    import timm

MARGIN = 3.0
"""Ours may be so many times as far from float64 as the library's module: folded norms round other numbers."""
BRANCH_ENDS = ("bn3.weight", "conv3.bn.weight")
"""The last norm of a residual branch, in the names of torchvision and timm."""
BRANCH_SCALE = 0.25
"""Its weight. A weight of 1 adds up the errors of all blocks: bfloat16 is then off by 0.2, and hides mistakes."""
LEAST = {torch.float64: 1e-12, torch.float32: 1e-6, torch.float16: 2**-11, torch.bfloat16: 2**-8}
"""The least limit by type: about the rounding of one number."""

SHALLOW_OPTIONS: dict[str, dict[str, int]] = {"resnet50": {}, "resnext50_32x4d": {"groups": 32, "width_per_group": 4}}
"""Options of torchvision's ResNet that give the networks of a dry run, by name."""


def module_of(name: str) -> tuple[str, nn.Module] | None:
    """The library that has a network of a name, and its module on the CPU; None if no library has it."""
    with suppress(NameError, RuntimeError, AttributeError):
        if name in torchvision.models.list_models():
            return "torchvision", torchvision.models.get_model(name)
    with suppress(NameError, RuntimeError, AttributeError):
        if name in timm.list_models():
            return "timm", timm.create_model(name)
    return None


class Oracle(NamedTuple):
    """A library's module, and ours with its weights.

    Attributes:
        library: "torchvision" or "timm".
        module: The library's module on the CPU, in float32 and eval mode, with measured statistics.
        network: Ours.
        state: The module's weights by the names of the library; `network.compile(weights=...)` takes them.
    """

    library: str
    module: nn.Module
    network: Any
    state: State

    def moved(
        self, device: torch.device, dtype: torch.dtype, layout: torch.memory_format = torch.contiguous_format
    ) -> nn.Module:
        """A copy of the library's module on a device, in a type and a layout."""
        return copy.deepcopy(self.module).to(device, dtype, memory_format=layout)  # type: ignore[no-any-return, call-overload]

    def exact(self, device: torch.device, noise: Tensor) -> Any:
        """The result of the library's module in float64."""
        with torch.no_grad():
            return self.moved(device, torch.float64)(noise.to(device, torch.float64))


class Errors(NamedTuple):
    """How far two modules are from the exact result (`networks.distance`).

    Attributes:
        ours: Our module.
        theirs: The library's module.
        library: Its name.
        least: The least limit.
    """

    ours: float
    theirs: float
    library: str
    least: float

    @property
    def limit(self) -> float:
        """The largest error that ours may have."""
        return max(self.least, MARGIN * self.theirs)

    @property
    def right(self) -> bool:
        """Whether ours keeps the limit."""
        return self.ours <= self.limit

    def text(self) -> str:
        """As it is printed: `3.1e-02 from float64; torchvision 3.0e-02 (limit 9.0e-02)`."""
        return f"{self.ours:.1e} from float64; {self.library} {self.theirs:.1e} (limit {self.limit:.1e})"


def errors(oracle: Oracle, ours: Any, theirs: Any, exact: Any, dtype: torch.dtype) -> Errors:
    """The errors of two results."""
    return Errors(distance(ours, exact), distance(theirs, exact), oracle.library, LEAST[dtype])


def oracle(run: Run, name: str) -> Oracle | None:
    """The oracle of a shipped network; None if no library has the network. In a dry run, of a shallow one."""
    network = load_shipped(run, name)
    named = _shallow(name) if run.dry else module_of(name)
    if named is None:
        return None
    library, module = named
    _draw(module)
    module.to(run.device)
    settle(module, images(network, 4, seed=1).to(run.device))
    module = module.cpu().eval().requires_grad_(False)
    return Oracle(library, module, network, module.state_dict())


def _shallow(name: str) -> tuple[str, nn.Module] | None:
    with suppress(NameError):
        resnet = torchvision.models.resnet
        return "torchvision", resnet.ResNet(resnet.Bottleneck, SHALLOW["depths"], **SHALLOW_OPTIONS[name])
    return None


def _draw(module: nn.Module) -> None:
    """Draws kernels as He et al. (2015) do; scales are 1 or `BRANCH_SCALE`, and biases 0: every layer has an effect."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.dim() > 1 and value.numel() > value.shape[0]:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
            elif name.endswith("bias"):
                value.zero_()
            else:
                value.fill_(BRANCH_SCALE if name.endswith(BRANCH_ENDS) else 1)
