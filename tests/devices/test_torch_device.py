"""Torch devices by name, and the name of the hardware. No test here needs a GPU: torch's functions are replaced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import resnext_dsl as rx
from resnext_dsl.devices.torch_device import device_name, device_of
from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.source import Source


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there(name: str, two_gpus: None) -> None:
    assert device_of(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cpu:0", "cuda:", "cuda:01", "tpu", ""])
def test_a_device_that_is_not_there(name: str, two_gpus: None) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(f"this machine has no device `{name}`")) as caught:
        device_of(name, file="export")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.file, diagnostic.span) == ("E603", "export", None)
    assert diagnostic.hint == "devices here: cpu, cuda:0, cuda:1"


def test_without_a_gpu_there_is_only_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(rx.ArchError, match="this machine has no device `cuda`") as caught:
        device_of("cuda")
    assert caught.value.diagnostics[0].hint == "devices here: cpu"


def test_the_error_of_a_limit_has_its_span(two_gpus: None) -> None:
    span = Span(Source("n.arch", "latency(cuda:7, 1) <= 1ms"), 0, 18)
    with pytest.raises(rx.ArchError, match="no device `cuda:7`") as caught:
        device_of("cuda:7", span)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.span, diagnostic.file) == (span, "")


def test_the_name_of_the_processor_is_that_of_the_system() -> None:
    assert device_name(torch.device("cpu")) in Path("/proc/cpuinfo").read_text(encoding="utf-8")


def test_the_name_of_a_gpu_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"card {place.index}")
    assert device_name(torch.device("cuda:1")) == "card 1"
