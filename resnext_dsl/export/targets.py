"""The formats that a network can be written in. Each has a room of its own, which imports what the format needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.diagnostics import did_you_mean, error
from resnext_dsl.foundation.number_types import DEFAULT_TYPE, DEPLOYED_TYPES, NUMBER_TYPES
from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from resnext_dsl.export.interface import Interface, Run

EXTRA = "pip install 'resnext-dsl[export]'"
"""What installs every backend."""


class Target(NamedTuple):
    """A format.

    Attributes:
        name: What users call it; `resnext_dsl.export` has a room for it.
        title: What its makers call it.
        suffix: What the name of a file ends in.
        needs: Modules that must be installed to write and to read it.
        dtypes: Types that a file can store weights in, the default first; none where it holds no weights.
        room: Its module.
        computes: The type that it computes in, where that is not the type of the weights.
        devices: Kinds of devices that a file can be written for.
    """

    name: str
    title: str
    suffix: str
    needs: tuple[str, ...]
    dtypes: tuple[str, ...]
    room: str
    computes: str | None = None
    devices: tuple[str, ...] = ("cpu",)

    def write(self, model: torch.nn.Module, signature: Interface, path: Path) -> None:
        """Writes a module that is in eval mode; `path` has the suffix, files that belong to it come beside it.

        Raises:
            ArchError: E605 where something that is needed is not installed.
        """
        self.hold_needs()
        self._room().write(model, signature, path)

    def read(self, path: Path, signature: Interface, model: torch.nn.Module) -> Run:
        """What was written, as a function from a batch of inputs to the outputs; never for files of others.

        Args:
            path: The file.
            signature: That it was written with.
            model: Where the weights come from, of a format that holds none.
        """
        run: Run = self._room().read(path, signature, model)
        return run

    def hold_needs(self) -> None:
        """Refuses to go on where something that is needed is not installed.

        Raises:
            ArchError: E605 with the command that installs it.
        """
        for module in self.needs:
            hold_installed(module, f"the target `{self.name}` ({self.title}) needs it", EXTRA)

    def _room(self) -> Any:
        return import_module(f"resnext_dsl.export.{self.room}")


def hold_installed(module: str, why: str, remedy: str) -> None:
    """Refuses to go on without a module.

    Raises:
        ArchError: E605 where it is not installed.
    """
    if find_spec(module) is None:
        raise error("E605", f"`{module}` is not installed; {why}", file="backend", hint=f"install it: {remedy}")


@contextmanager
def unreported() -> Iterator[None]:
    """Keeps OpenVINO and ONNX Runtime from reporting over the network what is done with them, which both do unasked.

    Source: OpenVINO reports nothing from continuous integration, ONNX Runtime nothing under `ORT_DISABLE_TELEMETRY`;
    both look when they are imported, OpenVINO again when it converts.
    """
    said = {"CI": "true", "ORT_DISABLE_TELEMETRY": "1"}
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_ALL_TYPES = (DEFAULT_TYPE, *(name for name in NUMBER_TYPES if name != DEFAULT_TYPE))

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("py", "PyTorch source", ".py", (), (), "python"),
        Target("pt2", "torch.export archive", ".pt2", (), _ALL_TYPES, "pt2"),
        Target("aoti", "AOTInductor package", ".pt2", (), DEPLOYED_TYPES, "aoti", devices=("cpu", "cuda")),
        Target("onnx", "ONNX", ".onnx", ("onnx", "onnxscript", "onnxruntime"), ("float32", "float16"), "onnx"),
        Target("openvino", "OpenVINO IR", ".xml", ("openvino",), ("float32", "float16"), "openvino", "float32"),
    )
}
"""Every format, by name."""


def target_of(name: str) -> Target:
    """The format of a name.

    Raises:
        ArchError: E705 where there is none.
    """
    if name not in TARGETS:
        hint = did_you_mean(name, TARGETS) or f"there are {', '.join(TARGETS)}"
        raise error("E705", f"unknown target `{name}`", file="export", hint=hint)
    return TARGETS[name]
