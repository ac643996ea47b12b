"""Compiles an editable install, as pip compiles a wheel: where bytecode may not be written, every start would."""

from __future__ import annotations

from compileall import compile_dir
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Bytecode(BuildHookInterface):
    """The hook that hatchling calls before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles the package where `version`, the kind of build, is that of an editable install."""
        if version == "editable":
            compile_dir(Path(self.root) / "resnext_dsl", quiet=2)
