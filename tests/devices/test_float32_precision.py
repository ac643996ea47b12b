"""IEEE float32 while outputs are compared, whichever interface of torch says what float32 is."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from resnext_dsl.devices.float32_precision import ieee_float32, settings_line, settings_of

CUDNN, PRODUCTS = torch.backends.cudnn, torch.backends.cuda.matmul


def state() -> dict[str, object]:
    """What both interfaces say; an error of the older one is one of the things that it can say."""
    return {
        "products": PRODUCTS.fp32_precision,
        "convolutions": CUDNN.conv.fp32_precision,
        "recurrent": CUDNN.rnn.fp32_precision,
        "older products": said(lambda: PRODUCTS.allow_tf32),
        "older convolutions": said(lambda: CUDNN.allow_tf32),
        "precision": said(torch.get_float32_matmul_precision),
    }


def said(read: object) -> object:
    try:
        return read()  # type: ignore[operator]
    except RuntimeError:
        return "error"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The settings of a fresh process, before and after."""
    yield
    torch.backends.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    PRODUCTS.fp32_precision = "none"
    CUDNN.allow_tf32 = True


def by_default() -> None:
    assert CUDNN.conv.fp32_precision == "tf32"


def by_precision() -> None:
    torch.set_float32_matmul_precision("medium")


def by_older() -> None:
    PRODUCTS.allow_tf32 = True
    CUDNN.allow_tf32 = False


def by_newer() -> None:
    PRODUCTS.fp32_precision = "tf32"
    CUDNN.conv.fp32_precision = "tf32"


def by_newer_for_one() -> None:
    CUDNN.conv.fp32_precision = "ieee"


def by_newer_for_all() -> None:
    torch.backends.fp32_precision = "tf32"


SETS = [by_default, by_precision, by_older, by_newer, by_newer_for_one, by_newer_for_all]


@pytest.mark.parametrize("said_so", SETS)
def test_float32_is_ieee_within_and_as_before_after(said_so: object) -> None:
    said_so()  # type: ignore[operator]
    before = state()
    with ieee_float32():
        assert PRODUCTS.fp32_precision != "tf32"
        assert CUDNN.conv.fp32_precision != "tf32"
        # Code within may read either interface, unless the process has mixed them before.
        assert PRODUCTS.allow_tf32 is False or before["older products"] == "error"
        assert said(lambda: CUDNN.allow_tf32) is False or before["older convolutions"] == "error"
    assert state() == before


def test_the_settings_come_back_after_an_error() -> None:
    torch.set_float32_matmul_precision("high")
    before = state()
    with pytest.raises(ZeroDivisionError), ieee_float32():
        raise ZeroDivisionError
    assert state() == before


class Older(SimpleNamespace):
    """`torch.backends.cudnn` and its like before torch 2.9: one switch, no `fp32_precision`."""


def test_a_torch_without_the_newer_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = Older(allow_tf32=True, benchmark=False, version=lambda: 90100)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    monkeypatch.setattr(torch.backends.cuda, "matmul", Older(allow_tf32=False))
    assert settings_of(torch.device("cuda"))["TF32 convolutions"] == "on"
    with ieee_float32():
        assert cudnn.allow_tf32 is False
        assert settings_of(torch.device("cuda"))["TF32 convolutions"] == "off"
    assert cudnn.allow_tf32 is True


def test_settings_of_a_gpu_are_named_and_a_cpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(torch.device("cpu")) == {}
    monkeypatch.setattr(CUDNN, "version", lambda: 91900)
    line = "TF32 convolutions on, TF32 products off, cudnn.benchmark off, cuDNN 91900"
    assert settings_line(settings_of(torch.device("cuda:1"))) == line
    torch.set_float32_matmul_precision("high")
    CUDNN.conv.fp32_precision = "ieee"
    found = settings_of(torch.device("cuda"))
    assert (found["TF32 convolutions"], found["TF32 products"]) == ("off", "on")
