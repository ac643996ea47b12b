"""The mode of a module while it is traced: `training` as an argument and in conditions."""

from __future__ import annotations

import sys

from torch.nn.modules.batchnorm import _BatchNorm

from resnext_dsl.importing.place_lines import is_of_torch


class ModeFlag:
    """Stands for `training` while a module is traced.

    As an argument it stays itself, so that a call is known to follow the mode of the module. In a condition it is the
    mode of the trace.

    Attributes:
        training: The mode of the trace.
        conditions: The lines of the model whose conditions depend on it. Torch's own code and classes of batch norms
            do the same calls in both modes.
    """

    def __init__(self, training: bool) -> None:
        self.training = training
        self.conditions: set[str] = set()

    def __bool__(self) -> bool:
        frame = sys._getframe(1)
        file = frame.f_code.co_filename
        if not is_of_torch(file) and not isinstance(frame.f_locals.get("self"), _BatchNorm):
            self.conditions.add(f"{file}:{frame.f_lineno}")
        return self.training

    def __fx_create_arg__(self, tracer: object) -> ModeFlag:
        return self
