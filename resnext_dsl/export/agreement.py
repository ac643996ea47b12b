"""Compares the outputs of a file that was read back with the outputs of its module."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from resnext_dsl.devices.float32_precision import ieee_float32
from resnext_dsl.export.interface import Interface, Run, outputs_of
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.records import NamedTuple

BATCHES = (1, 3)
"""The batch sizes that test a file for any batch; the trace uses neither of them."""

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""The largest difference of outputs, as a share of the largest value of the output, by the type of the weights.

Backends fuse and reorder sums. The rounding errors grow with the depth of the network. They reach some thousand times
the type's precision (float32: 2^-23, float16: 2^-10, bfloat16: 2^-7), and less in the short types.
The comparison in float32 runs without TF32 (`float32_precision.ieee_float32`). The error of its 10 bits exceeds the
limit.
"""

OWN_ERRORS = 3
"""The limit of a short type, at least, in errors of the module against itself in float32.

The error of a short type grows with the depth, so that no constant fits all networks. A rounding to bfloat16 changes a
value by up to 2^-8, and n independent roundings in a row add up to sqrt(n) times that. The file's error is as large as
the module's and independent of it, so that they differ by sqrt(2) times one of them. The
factor 3 leaves a margin of two.
"""

SHORT = (torch.float16, torch.bfloat16)


class Agreement(NamedTuple):
    """The difference between the outputs of a file and those of its module.

    Attributes:
        batches: The batch sizes of the test.
        difference: The largest difference, as a share of the largest value of its output.
        tolerance: The largest difference allowed.
    """

    batches: tuple[int, ...]
    difference: float
    tolerance: float


def agreement(model: nn.Module, run: Run, signature: Interface, what: str) -> Agreement:
    """Runs the file and its module on the same random inputs.

    Args:
        model: The module, in eval mode.
        run: The function that was read back from the file.
        signature: The inputs and outputs of both.
        what: The name of the file, for errors.

    Raises:
        ArchError: E802 if the outputs differ in number, shape, type or value.
    """
    batches = BATCHES if signature.batch is None else (signature.batch,) * 2
    limit, largest = TOLERANCE[signature.stored], 0.0
    exact = copy.deepcopy(model).float() if signature.dtype in SHORT else None
    for seed, batch in enumerate(batches):
        images = signature.inputs(batch, seed)
        with torch.no_grad(), ieee_float32():
            expected, outputs = outputs_of(model(images.clone())), run(images.clone())
            largest = max(largest, _difference(expected, outputs, f"{what}, batch {batch}"))
            if exact is not None:
                limit = max(limit, OWN_ERRORS * _own_error(expected, outputs_of(exact(images.float()))))
    if largest > limit:
        raise _wrong(f"{what}: outputs differ by {largest:.1e} of their largest value, more than {limit:.0e}")
    return Agreement(batches, largest, limit)


def _difference(expected: tuple[Tensor, ...], outputs: tuple[Tensor, ...], what: str) -> float:
    if len(expected) != len(outputs):
        raise _wrong(f"{what}: the file has {len(outputs)} outputs, the network {len(expected)}")
    return max(_output_difference(*pair, what) for pair in zip(expected, outputs, strict=True))


def _output_difference(expected: Tensor, output: Tensor, what: str) -> float:
    if expected.shape != output.shape or expected.dtype != output.dtype:
        raise _wrong(f"{what}: an output is {_kind(output)}; the network outputs {_kind(expected)}")
    if not torch.isfinite(expected).all():
        message = f"{what}: the outputs for normal noise are not finite, so they cannot be compared"
        raise error("E705", message, file="export", hint="use trained weights, or another type")
    if not torch.isfinite(output).all():
        raise _wrong(f"{what}: an output is not finite; the outputs of the network are")
    return _share(expected, output)


def _own_error(rounded: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> float:
    """The error of a module in a short type, as a share of the largest value of its output."""
    return max(_share(*pair) for pair in zip(rounded, exact, strict=True))


def _share(expected: Tensor, output: Tensor) -> float:
    scale = expected.double().abs().max().item()
    difference = (expected.double() - output.double()).abs().max().item()
    return difference / scale if scale else difference


def _kind(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {'x'.join(map(str, value.shape))}"


def _wrong(message: str) -> ArchError:
    return error("E802", message, file="export", hint="please report this with the spec")
