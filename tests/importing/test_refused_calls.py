"""Calls that the language cannot express: each is an error that names the operation, the module, the class and the line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import resnext_dsl as rx
from resnext_dsl.importing.module_reading import read_module

SHAPE = (3, 16, 16)


class Coded(nn.Module):
    """A convolution to 16 channels, then the code of a test or a layer."""

    def __init__(self, code: Callable[[Tensor], Any] | nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.code = code

    def forward(self, x: Tensor) -> Any:
        return self.code(self.conv(x))


NONE = "no operator of the language computes it"
VALUES = "no operator of the language computes it with these values"
IN_CODE = "in the model (Coded)"

LAYERS: list[tuple[nn.Module, str]] = [
    (
        nn.Conv2d(16, 8, 3, padding=1, padding_mode="circular"),
        "`pad` in `code` (Conv2d): `pad` with `mode=circular` has no operator in the language",
    ),
    (
        nn.AvgPool2d(2, divisor_override=3),
        "`avg_pool2d` in `code` (AvgPool2d): `avg_pool2d` with `divisor_override=3` has no operator in the language",
    ),
    (
        nn.BatchNorm2d(16, track_running_stats=False),
        "`batch_norm` in `code` (BatchNorm2d): `batch_norm` without running statistics has no operator in the language",
    ),
    (
        nn.BatchNorm2d(16, momentum=None),
        "`batch_norm` in `code` (BatchNorm2d): `batch_norm` with `cumulative_average=True` has no operator in the language",
    ),
    (
        nn.InstanceNorm2d(16, track_running_stats=True),
        "`instance_norm` in `code` (InstanceNorm2d): `instance_norm` with `use_input_stats=False` has no operator in the "
        "language",
    ),
    (
        nn.LayerNorm([16, 16, 16]),
        "`layer_norm` in `code` (LayerNorm): the channels of its value are not along axis 3",
    ),
    (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(16, bias=False)),
        "`layer_norm` in `code.2` (LayerNorm): `layer_norm` with `weight` and without `bias` has no operator in the "
        "language",
    ),
    (
        nn.Upsample(scale_factor=2, mode="bicubic"),
        f"`upsample_bicubic2d` in `code` (Upsample): {NONE}",
    ),
    (
        nn.Upsample(scale_factor=1.5),
        "`upsample_nearest2d` in `code` (Upsample): `upsample_nearest2d` by a factor that is not a whole number has no "
        "operator in the language",
    ),
    (
        nn.MaxPool2d(2, return_indices=True),
        "`max_pool2d` in `code` (MaxPool2d): `max_pool2d` with `return_indices=True` has no operator in the language",
    ),
    (nn.Softmin(dim=1), f"`softmin` in `code` (Softmin): {NONE}"),
    (
        weight_norm(nn.Conv2d(16, 8, 3)),
        f"`_weight_norm` in `code.parametrizations.weight.0` (_WeightNorm): {NONE}",
    ),
]

CODES: list[tuple[Callable[[Tensor], Any], str]] = [
    (lambda x: x + 1, f"`add` {IN_CODE}: {VALUES}"),
    (lambda x: x.cumsum(1), f"`cumsum` {IN_CODE}: {NONE}"),
    (lambda x: torch.matmul(x, x), f"`matmul` {IN_CODE}: {NONE}"),
    (lambda x: x.sum((2, 3)), f"`sum` {IN_CODE}: {VALUES}"),
    (lambda x: x.mean(1), f"`mean` {IN_CODE}: {VALUES}"),
    (
        lambda x: F.dropout(x, 0.5, training=True),
        f"`dropout` {IN_CODE}: `dropout` with `train=True` has no operator in the language",
    ),
    (
        lambda x: x[:, ::2],
        f"`slice` {IN_CODE}: the output `main`: it takes channels at a distance, which no operator of the language does",
    ),
    (lambda x: x[:1], f"`slice` {IN_CODE}: it takes some samples of a batch apart"),
    (
        lambda x: x + x.mean((2, 3), keepdim=True),
        f"`add` {IN_CODE}: `add` needs values of equal shape; value 1 is 16x16x16, value 2 is 16x1x1",
    ),
    (
        lambda x: x.permute(0, 2, 3, 1).flatten(1),
        f"`flatten` {IN_CODE}: the output `main`: it flattens a map in another order than channels and then sides",
    ),
    (lambda x: x.sort(1), f"`sort` {IN_CODE}: {NONE}"),
    (
        lambda x: torch.clamp(x, max=3),
        f"`clamp` {IN_CODE}: `clamp` with one limit has no operator in the language, except for `relu`",
    ),
]


def refusal(model: nn.Module, shape: tuple[int, ...] = SHAPE) -> rx.ArchError:
    with pytest.raises(rx.ArchError) as caught:
        read_module(model.eval(), shape, "n", "test")
    return caught.value


@pytest.mark.parametrize(("layer", "message"), LAYERS, ids=[message.partition(":")[0] for _, message in LAYERS])
def test_an_argument_without_counterpart_is_an_error(layer: nn.Module, message: str) -> None:
    (diagnostic,) = refusal(Coded(layer)).diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E610", message)


@pytest.mark.parametrize(("code", "message"), CODES, ids=[message.partition(":")[0] for _, message in CODES])
def test_a_call_without_counterpart_is_an_error_at_its_line(code: Callable[[Tensor], Any], message: str) -> None:
    (diagnostic,) = refusal(Coded(code)).diagnostics
    assert diagnostic.message == message
    first = inspect.getsourcelines(code)[1]
    file, _, line = diagnostic.file.rpartition(":")
    assert (file, int(line) - first in (0, 1)) == (__file__, True)


class Attention(nn.Module):
    """Two operations that the language does not have, in two lines."""

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.cumsum(x, 1)
        return torch.matmul(weights, x)


def test_all_operations_are_listed_in_one_error() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Attention(), Attention(), nn.Softmax2d())
    first = inspect.getsourcelines(Attention.forward)[1]
    listed = [(one.message, one.file.rpartition(":")[2]) for one in refusal(model).diagnostics]
    assert listed == [
        (f"`cumsum` in `1` (Attention) and 1 more module: {NONE}", str(first + 1)),
        (f"`matmul` in `1` (Attention) and 1 more module: {NONE}", str(first + 2)),
    ]


def test_a_condition_on_values_is_an_error_at_its_line() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.mean() > 0:
                return x
            return -x

    (diagnostic,) = refusal(nn.Sequential(nn.Conv2d(3, 8, 1), Branching())).diagnostics
    line = inspect.getsourcelines(Branching.forward)[1] + 1
    assert diagnostic.headline() == (
        f"{__file__}:{line}: error[E611]: `1` (Branching) cannot be traced: "
        "a condition or a number in Python depends on the values of the input"
    )
    assert diagnostic.hint == "compute with tensors instead, or import the parts of the model that do not branch"


def test_a_module_that_fails_is_an_error_with_its_reason() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("stage 5")

    (diagnostic,) = refusal(Failing()).diagnostics
    assert diagnostic.message == "the model (Failing) cannot be traced: KeyError: 'stage 5'"
    assert diagnostic.file == f"{__file__}:{inspect.getsourcelines(Failing.forward)[1] + 1}"


@pytest.mark.parametrize(
    ("shape", "code", "message"),
    [
        (
            (4, 16, 16),
            "E610",
            "`conv2d` in `0` (Conv2d): the tensor `0.weight` has the shape [8, 3, 5, 5], and its operator needs [8, 4, 5, 5]",
        ),
        (
            (3, 4, 4),
            "E303",
            "`conv2d` in `0` (Conv2d): `kernel` (=5x5) is larger than its input (=4x4)",
        ),
        (
            (3, 8, 8),
            "E610",
            "`linear` in `2` (Linear): the tensor `2.weight` has the shape [10, 1152], and its operator needs [10, 128]",
        ),
    ],
)
def test_an_example_of_the_wrong_size_is_an_error(shape: tuple[int, ...], code: str, message: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Flatten(), nn.Linear(1152, 10))
    (diagnostic,) = refusal(model, shape).diagnostics
    assert (diagnostic.code, diagnostic.message) == (code, message)


def half_changed(x: Tensor) -> Tensor:
    x[:, :8].relu_()
    return x * 2


def whole_changed(x: Tensor) -> Tensor:
    part = x[:, :8]
    x.relu_()
    return part * 2


@pytest.mark.parametrize("code", [half_changed, whole_changed])
def test_a_value_of_which_a_part_changed_in_place_is_an_error(code: Callable[[Tensor], Tensor]) -> None:
    (diagnostic,) = refusal(Coded(code)).diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (
        "E611",
        "the model (Coded) cannot be traced: a value is read after a part of it, or a view of it, has changed in place",
        "use the operation that is not in place",
    )


def test_parts_of_a_split_change_in_place_alone() -> None:
    def code(x: Tensor) -> Tensor:
        one, two = x.chunk(2, 1)
        one.relu_()
        return one + two

    graph = read_module(Coded(code), SHAPE, "n", "test").graph
    assert [node.operator for node in graph.nodes] == ["input", "conv", "slice", "relu", "slice", "add"]
