"""Matches the network of a spec with a data set: sets its parameters and checks its input and outputs.

The parameter `classes` becomes the number of classes and `resolution` the image size, unless the user sets them.
If the network's input still has another size, the images are scaled to it. Grey images are copied to every channel of a
network for colours. Nothing else is adapted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.networks.loading import load_with
from resnext_dsl.networks.network import Network
from resnext_dsl.operators.base import Shape
from resnext_dsl.train.datasets.image_set import ImageSet


def adapted(network: Network, source: ImageSet, settings: Mapping[str, Any]) -> dict[str, int]:
    """The values that parameters of a network take from a data set; parameters in `settings` keep their values."""
    _, height, width = source.shape
    values = {"classes": len(source.classes)} | ({"resolution": height} if height == width else {})
    return {name: value for name, value in values.items() if name in network.parameters and name not in settings}


def network_for(
    spec: str | os.PathLike[str],
    settings: Mapping[str, Any],
    source: ImageSet,
    root: str | os.PathLike[str] | None = None,
) -> Network:
    """The network of a spec that a data set can train.

    Raises:
        ArchError: With all errors of the spec; E713 if it does not fit the data set.
    """
    network = load_with(spec, settings, root=root)
    values = adapted(network, source, settings)
    if values:
        network = _with(network, spec, settings, values, source, root)
    check(network, source)
    return network


def _with(
    network: Network,
    spec: str | os.PathLike[str],
    settings: Mapping[str, Any],
    values: Mapping[str, int],
    source: ImageSet,
    root: str | os.PathLike[str] | None,
) -> Network:
    try:
        return load_with(spec, {**settings, **values}, root=root)
    except ArchError as problem:
        first = problem.diagnostics[0]
        changes = " and ".join(f"{name}={value}" for name, value in values.items())
        message = f"the network cannot have {changes}, which `{source.name}` needs: {first.message}"
        usual = " ".join(f"--set {name}={network.parameters[name].value}" for name in values if name == "resolution")
        hint = f"images are scaled to the resolution that you set: {usual}" if usual else ""
        raise ArchError([Diagnostic("E713", message, first.span, hint=hint, trail=first.trail)]) from None


def check(network: Network, source: ImageSet) -> None:
    """Checks a network against a data set.

    Raises:
        ArchError: E713 if its outputs are not the classes, or if its input does not fit the images.
    """
    _check_input(network, source)
    for output in network.ir.outputs:
        _check_output(network, output.name, network.ir.nodes[output.node].shape, len(source.classes))
    if sum(not output.training_only for output in network.ir.outputs) > 1:
        names = ", ".join(f"`{output.name}`" for output in network.ir.outputs if not output.training_only)
        raise _unfit(network, f"a classifier has one output in inference; this network has {names}")


def _check_input(network: Network, source: ImageSet) -> None:
    shape, channels = network.ir.nodes[0].shape, source.shape[0]
    if len(shape) != 3:
        raise _unfit(network, f"the network takes {_shown(shape)}; images are channels x height x width")
    if shape[0] != channels and channels != 1:
        hint = f"the spec's input must have {channels} channels"
        raise _unfit(network, f"the network takes {_shown(shape)}; images of `{source.name}` have 3 channels", hint)


def _check_output(network: Network, name: str, shape: Shape, classes: int) -> None:
    if len(shape) != 1:
        raise _unfit(network, f"output `{name}` is {_shown(shape)}; a classifier has one score for each class")
    if shape[0] != classes:
        can = "classes" in network.parameters
        hint = f"--set classes={classes}" if can else f"give the spec a parameter `classes`, or `linear({classes})`"
        raise _unfit(network, f"output `{name}` has {shape[0]} classes; the data set has {classes}", hint)


def _unfit(network: Network, message: str, hint: str = "") -> ArchError:
    return ArchError([Diagnostic("E713", message, hint=hint, file=network.source.name)])


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape))
