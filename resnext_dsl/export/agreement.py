"""Runs what was read back from a file beside the module it was written from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from resnext_dsl.devices.float32_precision import ieee_float32
from resnext_dsl.export.interface import Interface, Run, outputs_of
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.records import NamedTuple

BATCHES = (1, 3)
"""The sizes that a file for any batch is tried with; neither is the one that it was traced with."""

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""The most that outputs may differ, as a share of the largest value of the output, by the type of the weights.

Backends fuse and reorder sums, so that errors are those of rounding, grown over the depth of the network: some thousand
times the type's precision (float32: 2^-23, float16: 2^-10, bfloat16: 2^-7), for the short types less. float32 is
computed without TF32 (`numerics.ieee_float32`), whose 10 bits would differ by more than the limit.
"""

OWN_ERRORS = 3
"""The limit of a short type is at least so many times the module's own error, against itself in float32.

The error of a short type grows with the depth, so that no constant fits all networks: bfloat16 rounds by up to 2^-8 of
a value, and n independent roundings in a row add up to sqrt(n) times that. The file's error is as large as the module's
and independent of it, so that they differ by sqrt(2) times one of them; 3 leaves a margin of two.
"""

SHORT = (torch.float16, torch.bfloat16)


class Agreement(NamedTuple):
    """How far the outputs of a file were from those of the module.

    Attributes:
        batches: Sizes that were tried.
        difference: The largest, as a share of the largest value of its output.
        tolerance: The most that was allowed.
    """

    batches: tuple[int, ...]
    difference: float
    tolerance: float


def agreement(model: nn.Module, run: Run, signature: Interface, what: str) -> Agreement:
    """Runs both on the same random inputs.

    Args:
        model: In eval mode.
        run: What was read back.
        signature: Of both.
        what: The file, for errors.

    Raises:
        ArchError: E802 where the outputs differ in number, shape, type or value.
    """
    batches = BATCHES if signature.batch is None else (signature.batch,) * 2
    limit, largest = TOLERANCE[signature.stored], 0.0
    exact = copy.deepcopy(model).float() if signature.dtype in SHORT else None
    for seed, batch in enumerate(batches):
        images = signature.inputs(batch, seed)
        with torch.no_grad(), ieee_float32():
            expected, found = outputs_of(model(images.clone())), run(images.clone())
            largest = max(largest, _difference(expected, found, f"{what}, batch {batch}"))
            if exact is not None:
                limit = max(limit, OWN_ERRORS * _own_error(expected, outputs_of(exact(images.float()))))
    if largest > limit:
        raise _wrong(f"{what}: outputs differ by {largest:.1e} of their largest value, more than {limit:.0e}")
    return Agreement(batches, largest, limit)


def _difference(expected: tuple[Tensor, ...], found: tuple[Tensor, ...], what: str) -> float:
    if len(expected) != len(found):
        raise _wrong(f"{what}: {len(found)} outputs are read back, {len(expected)} were written")
    return max(_output_difference(*pair, what) for pair in zip(expected, found, strict=True))


def _output_difference(expected: Tensor, found: Tensor, what: str) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        raise _wrong(f"{what}: an output is {_kind(found)}; the network gives {_kind(expected)}")
    if not torch.isfinite(expected).all():
        message = f"{what}: the network gives numbers that are not finite for normal noise, so nothing can be compared"
        raise error("E705", message, file="export", hint="give it trained weights, or another type")
    if not torch.isfinite(found).all():
        raise _wrong(f"{what}: an output is not finite; the network gives numbers that are")
    return _share(expected, found)


def _own_error(rounded: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> float:
    """The error of a module in a short type, as a share of the largest value of its output."""
    return max(_share(*pair) for pair in zip(rounded, exact, strict=True))


def _share(expected: Tensor, found: Tensor) -> float:
    scale = expected.double().abs().max().item()
    difference = (expected.double() - found.double()).abs().max().item()
    return difference / scale if scale else difference


def _kind(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {'x'.join(map(str, value.shape))}"


def _wrong(message: str) -> ArchError:
    return error("E802", message, file="export", hint="please report this, with the spec")
