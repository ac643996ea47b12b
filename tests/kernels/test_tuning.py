"""Choosing among kernels: functions that sleep stand for kernels, on the CPU."""

import time

import pytest
import torch

from resnext_dsl.kernels.choice_table import KernelChoice
from resnext_dsl.kernels.configurations import Configuration
from resnext_dsl.kernels.tuning import agrees, measured, with_smaller_batch

CPU = torch.device("cpu")
RIGHT = torch.ones(4)
SLOW, FAST, WRONG, BROKEN, EMPTY = (Configuration("rows", 16, positions, 4, 1) for positions in (1, 2, 4, 8, 16))


def run(configuration):
    if configuration == BROKEN:
        raise RuntimeError("out of resource: shared memory")
    time.sleep(0.004 if configuration == SLOW else 0.0002)
    return {WRONG: 2 * RIGHT, EMPTY: RIGHT * float("nan")}.get(configuration, RIGHT.clone())


def after(seconds):
    def torch_run():
        time.sleep(seconds)
        return RIGHT.clone()

    return torch_run


def test_the_fastest_right_kernel_is_chosen():
    choice = measured([SLOW, BROKEN, WRONG, EMPTY, FAST], run, after(0.002), CPU)
    assert choice.configuration == FAST
    assert 0.0002 <= choice.seconds < 0.002 <= choice.torch_seconds


def test_torch_is_chosen_if_it_is_faster():
    choice = measured([SLOW], run, after(0.0002), CPU)
    assert choice.configuration is None
    assert choice.seconds >= 0.004


@pytest.mark.parametrize("candidates", [[], [WRONG, BROKEN, EMPTY]])
def test_torch_is_chosen_if_no_kernel_is_right(candidates):
    choice = measured(candidates, run, after(0.001), CPU)
    assert (choice.configuration, choice.seconds) == (None, 0.0)


@pytest.mark.parametrize(
    ("dtype", "apart", "same"), [("bfloat16", 0.03, True), ("bfloat16", 0.06, False), ("float16", 0.03, False)]
)
def test_results_agree_within_the_rounding_of_their_type(dtype, apart, same):
    kind = getattr(torch, dtype)
    assert agrees((RIGHT * (1 + apart)).to(kind), RIGHT.to(kind)) is same


def test_a_smaller_batch_is_tried_and_said_when_memory_is_out():
    tried = []

    def attempt(images):
        tried.append(images)
        if images > 3:
            raise torch.OutOfMemoryError
        return KernelChoice(configuration=FAST, seconds=1, torch_seconds=2)

    with pytest.warns(UserWarning, match="kernels are measured with 3 of 12 images: the card is out of memory"):
        assert with_smaller_batch(attempt, 12).configuration == FAST
    assert tried == [12, 6, 3]


def test_no_image_fits():
    def attempt(images):
        raise torch.OutOfMemoryError

    assert with_smaller_batch(attempt, 5) is None
