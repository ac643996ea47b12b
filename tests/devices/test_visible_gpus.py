"""The GPUs that a process may use, and one name for each device in all processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnext_dsl.devices.visible_gpus import gpus, identity, name_on_machine


@pytest.mark.parametrize(
    ("environment", "listed", "expected"),
    [
        ({}, 0, []),
        ({}, 3, ["0", "1", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "2, 5"}, 8, ["2", "5"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1f2e,GPU-aa00"}, 8, ["GPU-1f2e", "GPU-aa00"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, 8, []),
    ],
)
def test_the_gpus_of_a_process(environment: dict[str, str], listed: int, expected: list[str], tmp_path: Path) -> None:
    for place in range(listed):
        (tmp_path / f"0000:{place}").mkdir()
    assert gpus(environment, tmp_path) == expected
    assert gpus({}, tmp_path / "none") == []


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """What the driver lists on a machine with three GPUs."""
    for place, uuid in enumerate(("GPU-aa11", "GPU-bb22", "GPU-cc33")):
        folder = tmp_path / f"0000:0{place}:00.0"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t H100\nGPU UUID: \t {uuid}\nDevice Minor: \t {place}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "device", "name", "key"),
    [
        ({}, "cpu", "cpu", "cpu"),
        ({}, "mps", "mps", "mps"),
        ({}, "cuda", "cuda:0", "GPU-aa11"),
        ({}, "cuda:2", "cuda:2", "GPU-cc33"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, "cuda", "cuda:2", "GPU-cc33"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, "cuda:1", "cuda:0", "GPU-aa11"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-bb"}, "cuda:0", "cuda:GPU-bb", "GPU-bb22"),
        ({"CUDA_VISIBLE_DEVICES": "MIG-77"}, "cuda:0", "cuda:MIG-77", "MIG-77"),
        ({"RESNEXT_DSL_GPU": "1"}, "cuda", "cuda:1", "GPU-bb22"),
    ],
)
def test_all_processes_have_one_name_for_a_device(
    environment: dict[str, str], device: str, name: str, key: str, listed: Path
) -> None:
    assert name_on_machine(device, environment, listed) == name
    assert identity(device, environment, listed) == key


def test_without_the_drivers_list_the_index_is_the_name(tmp_path: Path) -> None:
    assert identity("cuda:1", {"CUDA_VISIBLE_DEVICES": "4,6"}, tmp_path / "none") == "cuda:6"
    assert gpus({}, tmp_path / "none") == []
