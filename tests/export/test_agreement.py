"""What was read back is compared in IEEE float32; a short type may differ by as much as it rounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import resnext_dsl as rx
from resnext_dsl.export.agreement import OWN_ERRORS, TOLERANCE, agreement
from resnext_dsl.export.interface import Interface, Outputs


class Cancels(nn.Module):
    """Adds a large number and takes it away: in float32 nearly nothing, in bfloat16 a large rounding error."""

    def forward(self, images: Tensor) -> Tensor:
        return (images + 64.0) - 64.0


def signature(dtype: torch.dtype) -> Interface:
    return Interface("image", ("main",), (4, 8, 8), dtype, dtype)


def shifted(by: float) -> object:
    """What is read back: the module's outputs, shifted by a share of the largest."""

    def run(images: Tensor) -> Outputs:
        assert torch.backends.cudnn.allow_tf32 is False
        outputs = Cancels()(images)
        return ((outputs + by * outputs.abs().max()).to(outputs.dtype),)

    return run


def test_outputs_are_compared_in_ieee_float32() -> None:
    assert torch.backends.cudnn.allow_tf32
    found = agreement(Cancels(), shifted(0.0), signature(torch.float32), "file")  # type: ignore[arg-type]
    assert found == ((1, 3), 0.0, 1e-4)
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_short_type_may_differ_by_its_own_error(dtype: torch.dtype) -> None:
    images = signature(dtype).inputs(1, 0)
    exact = Cancels()(images.float())
    own = ((Cancels()(images).float() - exact).abs().max() / exact.abs().max()).item()
    found = agreement(Cancels(), shifted(0.0), signature(dtype), "file")  # type: ignore[arg-type]
    assert found.tolerance == pytest.approx(max(TOLERANCE[dtype], OWN_ERRORS * own), rel=0.3)
    assert found.tolerance > 1.2 * TOLERANCE[dtype]
    agreement(Cancels(), shifted(0.8 * found.tolerance), signature(dtype), "file")  # type: ignore[arg-type]
    with pytest.raises(rx.ArchError, match=r"file: outputs differ by .* of their largest value, more than"):
        agreement(Cancels(), shifted(1.3 * found.tolerance), signature(dtype), "file")  # type: ignore[arg-type]


def test_a_network_that_rounds_little_keeps_the_constant() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 4)).requires_grad_(False).to(torch.bfloat16)
    found = agreement(model, lambda images: (model(images),), signature(torch.bfloat16), "file")
    assert found.tolerance == TOLERANCE[torch.bfloat16]
