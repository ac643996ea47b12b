"""The environment of a run: card, driver, versions, flags, and the features that differ between versions of torch."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import import_module, util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.gpu.device import computes_bf16
from benchmarks.gpu.record import LEFT_OUT, Line
from benchmarks.gpu.run import Run

OPTIONAL = {
    "torchvision": "`layouts` is left out; peers of `tax` are the modules of our emitted source",
    "timm": "two networks of `truth` have no oracle in TF32; peers of RegNet are the modules of our emitted source",
    "lightning_fabric": "`train` is left out",
    "sklearn": "the digits data set is left out",
    "optuna": "`search` is left out",
    "triton": "torch.compile on a GPU is left out",
}
"""Packages that a machine may lack, and what that means."""


def report(run: Run) -> None:
    """Sends the environment, and a line for each thing that this machine lacks."""
    run.send({"kind": "environment", "values": values(run.device), "differs": differs()})
    run.check("the environment", True, f"{device_name(run.device)}, torch {torch.__version__}")
    if not run.bf16:
        run.left_out("bfloat16 and TF32", "this card is older than sm_80; its bf16 lines are left out")
    for package, meaning in OPTIONAL.items():
        if not installed(package):
            run.send(Line(run.part, package, LEFT_OUT, f"not installed: {meaning}").entry())


def values(device: torch.device) -> dict[str, str]:
    """Card, driver, versions and flags, by name."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        "device": device_name(device),
        "compute capability": _capability(device),
        "driver": driver(),
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}",
        "cuDNN": str(cudnn.version() or "none"),
        "triton": version_of("triton"),
        "python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "resnext-dsl": import_module("resnext_dsl").__version__,
        "peers": ", ".join(f"{name} {version_of(name)}" for name in ("torchvision", "timm")),
        "TF32 by default": f"convolutions {_on(cudnn.allow_tf32)}, products {_on(matmul.allow_tf32)}",
        "cudnn.benchmark by default": _on(cudnn.benchmark),
        "bfloat16": _on(computes_bf16(device)),
        "threads": f"{torch.get_num_threads()} of {len(os.sched_getaffinity(0))} cores",
    }


def differs() -> dict[str, str]:
    """Features that some supported versions of torch have and others do not, and those of this machine's build."""
    from torch._inductor import config

    return {
        "torch.AcceleratorError": _has(torch, "AcceleratorError"),
        "fp32_precision of operators": _has(torch.backends.cuda.matmul, "fp32_precision"),
        "aot_inductor.weight_use_caching_allocator": _has(config.aot_inductor, "weight_use_caching_allocator"),
        "force_layout_optimization": _has(config, "force_layout_optimization"),
        "compiled for": " ".join(torch.cuda.get_arch_list()) or "no GPU",
    }


def device_name(device: torch.device) -> str:
    """The name of the card, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return util.find_spec(package) is not None


def version_of(package: str) -> str:
    """The installed version of a package, or "none"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def driver() -> str:
    """The version of the GPU's driver, read only."""
    stated = Path("/sys/module/nvidia/version")
    if stated.exists():
        return stated.read_text().strip()
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.split("\n")[0].strip() or "unknown"


def _capability(device: torch.device) -> str:
    if device.type != "cuda":
        return "none"
    properties = torch.cuda.get_device_properties(device)
    memory = properties.total_memory / 2**30
    return f"sm_{properties.major}{properties.minor}, {properties.multi_processor_count} SMs, {memory:.0f} GiB"


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def _has(owner: object, name: str) -> str:
    # backends answer for unknown names with errors of several kinds
    try:
        getattr(owner, name)
    except (AttributeError, RuntimeError):
        return "absent"
    return "there"
