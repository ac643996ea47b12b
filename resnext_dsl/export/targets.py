"""The formats that a network can be written in. Each has a module of its own, which imports its libraries."""

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
"""The command that installs every backend."""


class Target(NamedTuple):
    """A format.

    Attributes:
        name: The name of the option.
        title: The name that its authors use.
        suffix: The end of a file's name.
        needs: Modules that must be installed to write and to read it.
        dtypes: Types of the weights in a file, the default first; none if a file holds no weights.
        module: The module of `resnext_dsl.export` that writes and reads it.
        computes: The type of the computation, if it is not the type of the weights.
        devices: Kinds of devices that a file can be written for.
    """

    name: str
    title: str
    suffix: str
    needs: tuple[str, ...]
    dtypes: tuple[str, ...]
    module: str
    computes: str | None = None
    devices: tuple[str, ...] = ("cpu",)

    def write(self, model: torch.nn.Module, signature: Interface, path: Path) -> None:
        """Writes a module that is in eval mode. `path` has the suffix; further files are beside it.

        Raises:
            ArchError: E605 if a needed module is not installed.
        """
        self.require_modules()
        self._module().write(model, signature, path)

    def read(self, path: Path, signature: Interface, model: torch.nn.Module) -> Run:
        """Reads a file that `write` has written, as a function; never a file from elsewhere.

        Args:
            path: The file.
            signature: The signature that it was written with.
            model: Gives the weights of a format that holds none.
        """
        run: Run = self._module().read(path, signature, model)
        return run

    def snippet(self, path: Path, signature: Interface) -> str:
        """The Python lines that load and run a file, if a wrong use would go unnoticed; "" otherwise."""
        lines = getattr(self._module(), "snippet", None)
        return "" if lines is None else str(lines(path, signature))

    def require_modules(self) -> None:
        """Checks that the needed modules are installed.

        Raises:
            ArchError: E605 with the command that installs the missing module.
        """
        for module in self.needs:
            require_installed(module, f"the target `{self.name}` ({self.title}) needs it", EXTRA)

    def _module(self) -> Any:
        return import_module(f"resnext_dsl.export.{self.module}")


def require_installed(module: str, why: str, remedy: str) -> None:
    """Checks that a module is installed.

    Raises:
        ArchError: E605 if it is not installed.
    """
    if find_spec(module) is None:
        raise error("E605", f"`{module}` is not installed; {why}", file="backend", hint=f"install it: {remedy}")


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Switches off the telemetry of OpenVINO and ONNX Runtime, which both send by default.

    Source: OpenVINO sends nothing from continuous integration, ONNX Runtime nothing under `ORT_DISABLE_TELEMETRY`. Both
    read the variables on import; OpenVINO reads them again when it converts.
    """
    switches = {"CI": "true", "ORT_DISABLE_TELEMETRY": "1"}
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
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
        ArchError: E705 if there is none.
    """
    if name not in TARGETS:
        hint = did_you_mean(name, TARGETS) or f"there are {', '.join(TARGETS)}"
        raise error("E705", f"unknown target `{name}`", file="export", hint=hint)
    return TARGETS[name]
