"""Reads a torch module by torch.export: its ATen calls for any number of samples and one size of image.

Takes modules that torch.fx cannot trace, such as those that ask for the type of a value. The number of samples is
`SAMPLES`, a number that no other size is a multiple of. The example repeats one sample, so that it takes no memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from resnext_dsl.importing.call_schemas import operation_of
from resnext_dsl.importing.lowering.axis_views import SAMPLES
from resnext_dsl.importing.place_lines import model_line
from resnext_dsl.importing.shared_memory import VIEWS, SharedMemory
from resnext_dsl.importing.trace import BATCH, INPUT, Call, Ref, Sizes, Stored, Trace, TracedTensor
from resnext_dsl.operators.base import Shape


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Sets all modules to eval mode and restores their flags."""
    modules = list(module.modules())
    flags = [each.training for each in modules]
    try:
        for each in modules:
            each.training = False
        yield
    finally:
        for each, flag in zip(modules, flags, strict=True):
            each.training = flag


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch from printing the log of a failed export; the caller reports the failure."""
    logger = logging.getLogger("torch")
    disabled = [each for each in (logger, logging.getLogger("torch._subclasses.fake_tensor")) if not each.disabled]
    try:
        for each in disabled:
            each.disabled = True
        yield
    finally:
        for each in disabled:
            each.disabled = False


def trace_exported_module(module: nn.Module, shape: Shape, name: str, origin: str) -> Trace:
    """The calls of a module in eval mode.

    Raises:
        Exception: If torch.export cannot trace the module.
    """
    parameter = next(module.parameters(), None)
    example = torch.zeros(1, *shape, device=None if parameter is None else parameter.device)
    with eval_mode(module), quiet():
        program = torch.export.export(module, (example.expand(SAMPLES, *shape),), strict=False)
    classes = {path: type(each).__name__ for path, each in module.named_modules(remove_duplicate=False)}
    return trace_program(program, name, origin, classes)


def trace_program(
    program: torch.export.ExportedProgram, name: str, origin: str, classes: dict[str, str] | None = None
) -> Trace:
    """The calls of an exported program whose number of samples is `SAMPLES`."""
    return _ProgramReading(program, classes or {}).trace(name, origin)


class _ProgramReading:
    """The calls of an exported program."""

    def __init__(self, program: torch.export.ExportedProgram, classes: dict[str, str]) -> None:
        self.program = program
        self.classes = {"": type(program).__name__, **classes}
        self.calls: list[Call] = []
        self.results: dict[fx.Node, Any] = {}
        self.input: Shape = ()
        self.outputs: dict[str, Ref] = {}
        self.memory = SharedMemory()

    def trace(self, name: str, origin: str) -> Trace:
        signature = self.program.graph_signature
        keys = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        keys |= signature.inputs_to_lifted_tensor_constants
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._read_input(node, keys)
            elif node.op == "output":
                self._read_outputs(node, set(signature.user_outputs))
            else:
                self._read_call(node)
        stored = {**self.program.state_dict, **self.program.constants}
        kinds = dict.fromkeys(stored, "constant")
        kinds |= dict.fromkeys(signature.buffers, "buffer") | dict.fromkeys(signature.parameters, "parameter")
        tensors = {
            key: TracedTensor(tuple(each.shape), kinds[key], each.is_floating_point())
            for key, each in stored.items()
            if isinstance(each, torch.Tensor)
        }
        return Trace(
            name, origin, self.input, tuple(self.calls), self.outputs, self.classes, tensors, stored.__getitem__
        )

    def _read_input(self, node: fx.Node, keys: dict[str, str]) -> None:
        if node.name in keys:
            self.results[node] = Stored(keys[node.name])
        else:
            self.results[node] = INPUT
            self.input = tuple(node.meta["val"].shape[1:])

    def _read_outputs(self, node: fx.Node, names: set[str]) -> None:
        values = [each for each in node.args[0] if isinstance(each, fx.Node) and each.name in names]  # type: ignore[union-attr]
        for place, value in enumerate(values):
            self.outputs["main" if place == 0 else f"output{place + 1}"] = self.results[value]

    def _read_call(self, node: fx.Node) -> None:
        target: Any = node.target
        schema = getattr(target, "_schema", None)
        name = schema.name.partition("::")[2] if schema is not None else getattr(target, "__name__", str(target))
        operation, in_place = operation_of(name)
        if schema is not None:
            names = [argument.name for argument in schema.arguments]
            bound = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        else:
            bound = dict(zip(("self", "index" if operation == "getitem" else "other"), node.args, strict=False))
        arguments = {key: self._argument(each) for key, each in bound.items()}
        place = model_line(node.stack_trace or "")
        self.calls.append(Call(operation, arguments, _sizes(node), self._path(node), place))
        self.results[node] = Ref(len(self.calls) - 1)
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node):
            return
        if operation in VIEWS:
            self.memory.add(node, source)
        if in_place:
            self.results[source] = self.results[node]
            self.memory.change(source)

    def _path(self, node: fx.Node) -> str:
        """The path of the module that makes a call; names its class if the module is not known."""
        stack = node.meta.get("nn_module_stack") or {}
        path = ""
        for path, kind in stack.values():
            name = kind if isinstance(kind, str) else kind.__name__
            self.classes.setdefault(path, name.rpartition(".")[2])
        return path

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            self.memory.check(argument)
            return self.results[argument]
        if isinstance(argument, list | tuple):
            return [self._argument(each) for each in argument]
        return _size(argument) if isinstance(argument, int) and not isinstance(argument, bool) else argument


def _size(number: int) -> int | str:
    return BATCH if number == SAMPLES else number


def _sizes(node: fx.Node) -> Sizes | None:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or not all(isinstance(size, int) for size in value.shape):
        return None
    return tuple([_size(size) for size in value.shape])
