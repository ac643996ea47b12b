"""Packages for a GPU: which device is asked for, what is passed on to torch, and what a machine lacks.

No test here needs a GPU: torch's functions that would use one are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from export_examples import NETWORKS, SUFFIX

import resnext_dsl as rx
from resnext_dsl.export import TARGETS, aoti
from resnext_dsl.export.interface import Interface
from resnext_dsl.export.write import _device


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """The GPUs that were made the current one, on a machine that is said to have two."""
    seen: list[torch.device] = []

    @contextmanager
    def device(place: torch.device) -> Iterator[None]:
        seen.append(place)
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return seen


def refused(message: str, code: str, hint: str, target: str, path: Path, **options: object) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        rx.loads(NETWORKS["plain"]).export(target, path, **options)  # type: ignore[arg-type]
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.hint) == (code, hint)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("device", ["cuda:9", "tpu", "cpu:1"])
def test_a_device_that_is_not_there_is_refused(device: str, tmp_path: Path) -> None:
    here = ", ".join(["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])
    message = f"this machine has no device `{device}`"
    refused(message, "E603", f"devices here: {here}", "aoti", tmp_path / "m.pt2", device=device)


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "aoti"])
def test_other_formats_are_written_on_the_cpu(target: str, tmp_path: Path) -> None:
    message = f"`{target}` ({TARGETS[target].title}) is not written for `cuda`"
    refused(message, "E705", "targets for cuda: `aoti`", target, tmp_path / f"m{SUFFIX[target]}", device="cuda")


def test_a_gpu_that_is_there_is_taken(current: list[torch.device]) -> None:
    assert [_device(TARGETS["aoti"], name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]


@pytest.mark.parametrize(("device", "index"), [("cpu", -1), ("cuda", -1), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_package_is_loaded_onto_its_device(
    device: str, index: int, current: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []

    def load(path: str, device_index: int) -> object:
        calls.append((path, device_index))
        return lambda images: images + 1

    monkeypatch.setattr(aoti, "aoti_load_package", load)
    run = aoti.read(Path("m.pt2"), Interface("image", ("main",), (3,), device=device), torch.nn.Identity())
    assert torch.equal(run(torch.zeros(2))[0], torch.ones(2))
    assert calls == [("m.pt2", index)]
    assert current == ([torch.device(device)] if index >= 0 else [])


def test_weights_on_a_gpu_are_in_the_allocator_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    option = "aot_inductor.weight_use_caching_allocator"
    unbounded = {"aot_inductor.check_lowerbound": False}
    assert aoti.options_for("cuda:1") == {"freezing": False, **unbounded, option: True}
    assert aoti.options_for("cpu") == {"freezing": True, **unbounded}
    assert hasattr(torch._inductor.config.aot_inductor, option.partition(".")[2])
    monkeypatch.setattr(aoti, "config", SimpleNamespace(aot_inductor=SimpleNamespace()))  # a torch without it
    assert aoti.options_for("cuda") == {"freezing": False}


# --- what Inductor needs to compile ---


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The programs that are found, by name; none at first."""
    found: dict[str, str] = {}
    monkeypatch.setattr(aoti.shutil, "which", lambda name: found.get(str(name)))
    monkeypatch.setattr(aoti, "USUAL_HOME", tmp_path / "nowhere")
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    with aoti.config.patch({"cpp.cxx": (None, "g++")}):
        yield found


def test_missing_tools_are_named(tools: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, toolkit = "a C++ compiler (g++", "the CUDA toolkit (its folder"
    assert [tool.partition(",")[0] for tool in aoti.missing_tools("cpu")] == [compiler]
    assert [tool[: len(toolkit)] for tool in aoti.missing_tools("cuda:1")][1:] == [toolkit]
    tools["g++"] = "/usr/bin/g++"
    assert aoti.missing_tools("cpu") == []
    home = tmp_path / "cuda"
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert len(aoti.missing_tools("cuda")) == 1
    (home / "include").mkdir(parents=True)
    (home / "include" / "cuda.h").touch()
    assert aoti.missing_tools("cuda") == []
    monkeypatch.delenv("CUDA_HOME")
    tools["nvcc"] = str(home / "bin" / "nvcc")
    assert aoti.missing_tools("cuda") == []


@pytest.mark.parametrize("problem", [OSError("CUDA_HOME environment variable is not set"), RuntimeError("no cl")])
def test_an_error_of_torch_names_the_missing_tools(
    problem: Exception, tools: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise problem

    monkeypatch.setattr(aoti, "write", fails)
    (tmp_path / "out").mkdir()
    message = (
        "`aoti` (AOTInductor package) is compiled on this machine, which lacks a C++ compiler (g++, or the one that CXX "
        f"names); torch says: {type(problem).__name__}: {problem}"
    )
    refused(message, "E704", "install g++, or set CXX", "aoti", tmp_path / "out" / "m.pt2")
    tools["g++"] = "/usr/bin/g++"
    with pytest.raises(rx.ArchError, match=f"(?i){re.escape(str(problem))}") as caught:
        rx.loads(NETWORKS["plain"]).export("aoti", tmp_path / "out" / "m.pt2")
    assert caught.value.diagnostics[0].code == ("E704" if isinstance(problem, OSError) else "E705")


def test_the_hint_for_a_gpu_names_the_version_of_the_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert aoti.remedy("cuda:1") == "install the CUDA toolkit 13.0 and g++, or set CUDA_HOME and CXX"
