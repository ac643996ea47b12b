"""Which kernel runs: reasons for torch's kernels, the table, and layers that are measured."""

import importlib.util

import pytest
import torch

from resnext_dsl.kernels import kernel_choice
from resnext_dsl.kernels.choice_table import KernelChoice
from resnext_dsl.kernels.configurations import Configuration
from resnext_dsl.kernels.layer_shape import FORWARD, LayerShape

CARD = torch.device("cuda", 0)
SHAPE = LayerShape(2, 8, 2, 5, 5, 1, "float32")
OURS = Configuration("rows", 16, 64, 4, 1)


@pytest.fixture
def card(monkeypatch, tmp_path):
    """A card that is not there: torch's questions about it are answered."""
    kernel_choice.forget()
    monkeypatch.setenv("RESNEXT_DSL_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Card One")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(kernel_choice, "card_of", lambda device: {"name": "Card One"})
    yield monkeypatch
    kernel_choice.forget()


def test_a_card_takes_our_kernels(card):
    assert kernel_choice.why_torch(CARD) == ""


def test_the_reasons_for_torchs_kernels(card):
    assert kernel_choice.why_torch(torch.device("cpu")) == "the device is `cpu`; the kernels need a CUDA device"
    kernel_choice.forget()
    card.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert kernel_choice.why_torch(CARD) == "Card One has compute capability 7.5; the kernels need 8.0 or later"
    kernel_choice.forget()
    card.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    card.setattr(importlib.util, "find_spec", lambda name: None)
    assert kernel_choice.why_torch(CARD) == "Triton is not installed; `pip install triton` adds it"
    kernel_choice.forget()
    card.setattr(torch.version, "hip", "6.0")
    assert kernel_choice.why_torch(CARD) == "torch is built for ROCm; the kernels need CUDA"
    kernel_choice.forget()
    card.setattr(torch.cuda, "is_available", lambda: False)
    assert kernel_choice.why_torch(CARD) == "torch finds no CUDA device"


def test_a_layer_is_measured_once_and_kept(card):
    calls = []

    def measured(candidates, run, torch_run, device):
        calls.append(list(candidates))
        return KernelChoice(configuration=OURS, seconds=1, torch_seconds=2)

    card.setattr(kernel_choice.tuning, "measured", measured)
    for _ in range(2):
        assert kernel_choice.chosen(FORWARD, SHAPE, CARD, None, None) == OURS
    assert len(calls) == 1
    kernel_choice.forget()  # a new process reads the file
    assert kernel_choice.chosen(FORWARD, SHAPE, CARD, None, None) == OURS
    assert len(calls) == 1
    # what a file holds for a layer that the kernel does not compute is not run
    assert kernel_choice.chosen(FORWARD, SHAPE._replace(stride=2), CARD, None, None) is None
    assert kernel_choice.chosen("weight gradient", SHAPE, CARD, None, None) is None
    assert kernel_choice.chosen(FORWARD, SHAPE._replace(dtype="float16"), CARD, None, None) == OURS
    assert len(calls) == 4


def test_nothing_is_measured_while_a_graph_is_captured(card):
    card.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    card.setattr(kernel_choice.tuning, "measured", None)
    assert kernel_choice.chosen(FORWARD, SHAPE, CARD, None, None) is None
    kernel_choice.table_of(CARD).put(
        f"{FORWARD}: {SHAPE.text()}", KernelChoice(configuration=OURS, seconds=1, torch_seconds=2)
    )
    assert kernel_choice.chosen(FORWARD, SHAPE, CARD, None, None) == OURS


def test_shapes_without_kernels_take_torchs(card):
    card.setattr(kernel_choice.tuning, "measured", None)
    assert kernel_choice.chosen(FORWARD, SHAPE._replace(dtype="float64"), CARD, None, None) is None
    assert kernel_choice.chosen(FORWARD, SHAPE._replace(groups=8), CARD, None, None) is None
