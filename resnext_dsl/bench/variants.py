"""Subjects, backends and the conditions that all variants share: plain data, which goes to workers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.devices.memory_format import CHANNELS_LAST, CONTIGUOUS, LAYOUTS
from resnext_dsl.foundation.diagnostics import ArchError, did_you_mean, error
from resnext_dsl.foundation.number_types import DEFAULT_TYPE, DEPLOYED_TYPES
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

PEERS = ("torchvision", "timm")
"""Libraries whose network of the same name can be timed beside the spec's."""

MODES = ("inference", "train")

BOTH = "both"
"""Requests a row in each of the two layouts."""


class BenchSubject(NamedTuple):
    """A network to time.

    Attributes:
        library: "" for a spec, else one of `PEERS`.
        name: The network's name.
        spec: The path or shipped name of a spec.
        settings: Values for its parameters.
        root: The folder that its imports stay under.
        form: The form of its splits.
        shape: The shape of the input, without batch.
        peer: Whether the spec's networks are compared with it.
    """

    library: str
    name: str
    shape: Shape
    spec: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    root: str | None = None
    form: str = "fastest"
    peer: bool = False

    @property
    def label(self) -> str:
        """The name in a report."""
        if self.library:
            return f"{self.name} of {self.library}"
        return self.name if self.form == "fastest" else f"{self.name}, form {self.form}"


class Conditions(NamedTuple):
    """The conditions that all variants of a report share.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        dtype: One of `DEPLOYED_TYPES`.
        batch: Samples of a run.
        mode: One of `MODES`; a run in training is forward, backward and a step of SGD.
        threads: Threads within an operator, on the CPU; 0 for torch's default.
        layout: Memory format of weights and images, the same for all: one of `memory_format.LAYOUTS`, or `BOTH`.
    """

    device: str = "cpu"
    dtype: str = DEFAULT_TYPE
    batch: int = 1
    mode: str = "inference"
    threads: int = 0
    layout: str = "auto"


class Backend(NamedTuple):
    """A runtime of networks.

    Attributes:
        title: The name that its authors use.
        target: The export target that writes its file; "" if it runs the module.
        devices: Kinds of devices that it runs on.
        dtypes: Types that it computes in.
        modes: The modes of `MODES` that it supports.
        needs: Modules that must be installed.
        laid_out: Whether it keeps the memory format of the weights; other backends choose their own.
    """

    title: str
    target: str
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    modes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    laid_out: bool = True


BACKENDS: Mapping[str, Backend] = {
    "eager": Backend("torch, eager", "", ("cpu", "cuda"), DEPLOYED_TYPES, MODES),
    "compile": Backend("torch.compile", "", ("cpu", "cuda"), DEPLOYED_TYPES, MODES),
    "compile-graphs": Backend("torch.compile with CUDA graphs", "", ("cuda",), DEPLOYED_TYPES, MODES),
    "aoti": Backend("AOTInductor", "aoti", ("cpu", "cuda"), DEPLOYED_TYPES, ("inference",)),
    "onnxruntime": Backend(
        "ONNX Runtime",
        "onnx",
        ("cpu",),
        ("float32", "float16"),
        ("inference",),
        ("onnx", "onnxscript", "onnxruntime"),
        laid_out=False,
    ),
    "openvino": Backend(
        "OpenVINO", "openvino", ("cpu",), DEPLOYED_TYPES, ("inference",), ("openvino",), laid_out=False
    ),
}
"""Every backend, by name."""


class Variant(NamedTuple):
    """One row of a report.

    Attributes:
        subject: The network.
        backend: A key of `BACKENDS`.
        layout: Memory format of weights and images; "" if the backend chooses it.
    """

    subject: BenchSubject
    backend: str
    layout: str = ""

    @property
    def label(self) -> str:
        """The name in errors."""
        return f"{self.subject.label} on {self.backend}"


def check_conditions(conditions: Conditions) -> None:
    """Checks that the conditions exist.

    Raises:
        ArchError: E607 for an unknown mode, type, layout or device.
    """
    for what, value, known in (
        ("mode", conditions.mode, MODES),
        ("dtype", conditions.dtype, DEPLOYED_TYPES),
        ("layout", conditions.layout, (*LAYOUTS, BOTH)),
    ):
        if value not in known:
            raise untimed(f"unknown {what} `{value}`", did_you_mean(value, known) or f"there are {', '.join(known)}")
    if conditions.device.partition(":")[0] not in ("cpu", "cuda"):
        raise untimed(f"unknown device `{conditions.device}`", "devices are cpu, cuda and cuda:N")


def layouts_of(name: str, layout: str) -> tuple[str, ...]:
    """The layouts that a backend is timed in, for a layout or `BOTH`."""
    if not BACKENDS[name].laid_out:
        return ("",)
    return (CONTIGUOUS, CHANNELS_LAST) if layout == BOTH else (layout,)


def file_name(backend: str, layout: str) -> str:
    """A name for the file of a backend."""
    from resnext_dsl.export.targets import TARGETS

    target = BACKENDS[backend].target
    name = f"{backend}-{layout}" if layout and BACKENDS[backend].laid_out else backend
    return name + (TARGETS[target].suffix if target else "")


def backend_of(name: str) -> Backend:
    """The backend of a name.

    Raises:
        ArchError: E607 if there is none.
    """
    if name not in BACKENDS:
        raise untimed(
            f"unknown backend `{name}`", did_you_mean(name, BACKENDS) or f"there are {', '.join(BACKENDS)}, all"
        )
    return BACKENDS[name]


def misfit(name: str, conditions: Conditions) -> str:
    """The reason why a backend cannot run under conditions; "" if it can."""
    backend = BACKENDS[name]
    requested = (
        (conditions.mode, backend.modes, "mode"),
        (conditions.device.partition(":")[0], backend.devices, "device"),
        (conditions.dtype, backend.dtypes, "dtype"),
    )
    for value, known, what in requested:
        if value not in known:
            return f"{backend.title} is timed with {what} {' or '.join(known)} only, not {value}"
    return ""


def untimed(message: str, hint: str = "") -> ArchError:
    """The error of a variant that cannot be timed."""
    return error("E607", message, file="bench", hint=hint)


def subject_of_json(fields: dict[str, Any]) -> BenchSubject:
    """The subject that JSON fields describe."""
    settings = tuple((name, value) for name, value in fields["settings"])
    return BenchSubject(**fields | {"shape": tuple(fields["shape"]), "settings": settings})
