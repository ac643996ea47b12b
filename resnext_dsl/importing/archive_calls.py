"""The operations of the graph of an archive as calls of a trace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from resnext_dsl.importing.archive_tensors import NUMBER_TYPES
from resnext_dsl.importing.model_file import MAX_NUMBER, MAX_TEXT, Untranslated, class_name, module_path, place_of
from resnext_dsl.importing.trace import BATCH, Call, Ref, Sizes, Stored

VIEWS = frozenset(
    {
        *("alias", "chunk", "contiguous", "detach", "diagonal", "dropout", "expand", "expand_as", "feature_dropout"),
        *("flatten", "getitem", "narrow", "permute", "reshape", "select", "slice", "split", "split_with_sizes"),
        *("squeeze", "t", "to", "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as"),
    }
)
"""Operations whose result may share memory with their first argument."""

WITHOUT_RESULT = frozenset({"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size"})
"""Checks of a program, which compute nothing."""

RESHAPES = {"view": "size", "reshape": "shape", "expand": "size"}
"""Operations whose argument is the whole shape of their result."""

_TARGET = re.compile(r"torch\.ops\.aten\.(\w{1,80}?)(_?)\.(\w{1,80})")
_SYMBOL = re.compile(r"Symbol\('(\w{1,40})'[^()]*\)")
_NUMBERS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}

Value = Ref | Stored


class ArchiveCalls:
    """Collects the calls of a graph, and the operations that have no place in a trace.

    Attributes:
        calls: The calls so far.
        modules: Path of each module -> the name of its class.
        problems: The operations that were refused.
        notes: The facts that the archive fixes to its example.
    """

    def __init__(self, values: Mapping[str, Value], graph: Mapping[str, Any], batch: str | int) -> None:
        self._values: dict[str, Value] = dict(values)
        self._sizes = graph["tensor_values"]
        self._batch = batch
        self._changed: dict[Value, Value] = {}
        self._base: dict[Value, Value] = {}
        self._broken: set[Value] = set()
        self.calls: list[Call] = []
        self.modules: dict[str, str] = {"": "Module"}
        self.problems: list[Untranslated] = []
        self.notes: list[str] = []

    def value(self, name: str) -> Value:
        """A value of the graph by its name, with the changes that operations have made in place."""
        value = self._values[name]
        while value in self._changed:
            value = self._changed[value]
        if value in self._broken:
            self._refuse("in-place operation", "changes memory that another value shares", name)
        return value

    def add(self, node: Mapping[str, Any]) -> None:
        """Adds an operation of the graph."""
        target = str(node["target"])
        operation, in_place = _canonical(target)
        path = self._module_of(node["metadata"])
        problems = len(self.problems)
        if not operation:
            self._refuse(target, "is no operator of ATen", path or str(node.get("name")))
        if operation in WITHOUT_RESULT:
            return
        arguments = {
            _argument(operation, item["name"]): self._read(item["arg"], target, path) for item in node["inputs"]
        }
        results = [result for result in node["outputs"] if "as_none" not in result]
        if len(self.problems) == problems and in_place and self._counts_batches(arguments):
            return
        call = Call(operation, arguments, path=path, place=place_of(node["metadata"].get("stack_trace", "")))
        if len(results) == 1 and "as_tensors" not in results[0]:
            self._finish(call, _name(results[0]), in_place)
            return
        names = [
            name
            for result in results
            for name in ([item["name"] for item in result["as_tensors"]] if "as_tensors" in result else [_name(result)])
        ]
        several = self._append(call)
        for index, name in enumerate(names):
            part = Call("getitem", {"self": several, "index": index}, path=path, place=call.place)
            self._finish(part, name, in_place=False)

    def _finish(self, call: Call, name: str, in_place: bool) -> None:
        """Adds a call with one result, and notes the memory that the result shares."""
        sizes = self._sizes_of(name)
        first = next(iter(call.arguments.values()), None)
        result = self._append(self._for_any_batch(call, sizes)._replace(sizes=sizes))
        self._values[name] = result
        if isinstance(first, Ref | Stored):
            if in_place:
                self._change(first, result)
            elif call.operation in VIEWS:
                self._base[result] = self._base.get(first, first)

    def _append(self, call: Call) -> Ref:
        self.calls.append(call)
        return Ref(len(self.calls) - 1)

    def _change(self, changed: Value, result: Value) -> None:
        """`changed` is `result` from here on; the values that share its memory cannot be read any more."""
        base = self._base.get(changed, changed)
        sharing = {value for value, other in self._base.items() if other == base} | {base}
        self._broken |= sharing - {changed, result}
        self._changed[changed] = result
        if changed in self._base:
            self._base[result] = base

    def _counts_batches(self, arguments: Mapping[str, Any]) -> bool:
        """Whether an operation counts the batches of a batch norm, as it does in training mode only."""
        changed = arguments.get("self")
        if not isinstance(changed, Stored):
            return False
        if not changed.key.endswith("num_batches_tracked"):
            self._refuse("in-place operation", "changes a stored tensor", changed.key)
        return True

    def _read(self, argument: Mapping[str, Any], target: str, path: str) -> Any:
        """An argument of an operation as a trace has it."""
        ((kind, content),) = argument.items()
        if kind == "as_none":
            return None
        if kind in {"as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"}:
            return self._symbol(content)
        if kind == "as_optional_tensor":
            return self._symbol(content.get("as_tensor", content))
        if kind in {"as_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools"}:
            return [self._symbol(item) for item in content]
        if kind == "as_optional_tensors":
            return [self._symbol(item.get("as_tensor", item)) for item in content]
        if kind in {"as_int", "as_bool", "as_float"}:
            return _number(content)
        if kind in {"as_ints", "as_bools", "as_floats"}:
            return [_number(item) for item in content]
        if kind in {"as_string", "as_strings"} and len(content) <= MAX_TEXT:
            return content if isinstance(content, str) else [str(item)[:MAX_TEXT] for item in content]
        if kind == "as_scalar_type" and content in NUMBER_TYPES:
            return NUMBER_TYPES[content][0]
        if kind in {"as_memory_format", "as_layout"} and type(content) is int:
            return content
        if kind == "as_device":
            return str(content["type"])[:MAX_TEXT]
        self._refuse(target, f"has an argument of kind `{kind}`", path)
        return None

    def _symbol(self, content: Mapping[str, Any]) -> Any:
        """A tensor or a size that an operation gives, a number, or None."""
        if "as_none" in content:
            return None
        if "name" in content or "as_name" in content:
            return self.value(content["name"] if "name" in content else content["as_name"])
        (number,) = content.values()
        return _number(number)

    def _sizes_of(self, name: str) -> Sizes | None:
        """The shape of a result; None if the archive does not state it in numbers and the batch."""
        meta = self._sizes.get(name)
        if meta is None:
            return None
        sizes: list[int | str] = []
        for axis, size in enumerate(meta["sizes"]):
            if "as_int" in size:
                number = size["as_int"]
                if type(number) is not int or not 0 <= number < MAX_NUMBER:
                    raise ValueError("a size")
                sizes.append(BATCH if axis == 0 and number == self._batch else number)
            else:
                symbol = _SYMBOL.fullmatch(size["as_expr"]["expr_str"])
                if symbol is None or symbol[1] != self._batch:
                    return None
                sizes.append(BATCH)
        return tuple(sizes)

    def _for_any_batch(self, call: Call, sizes: Sizes | None) -> Call:
        """`reshape(shape=[2, 8, 49]) -> reshape(shape=[-1, 8, 49])`, where the archive fixes the batch to 2."""
        key = RESHAPES.get(call.operation, "")
        shape = call.arguments.get(key)
        if not sizes or sizes[0] != BATCH or not isinstance(shape, list) or shape[:1] != [self._batch]:
            return call
        note = f"The archive fixes the batch to {self._batch}; reshapes to this size are read as reshapes of any batch."
        if note not in self.notes:
            self.notes.append(note)
        rest = [size if size != -1 else sizes[axis] for axis, size in enumerate(shape)][1:]
        return call._replace(arguments={**call.arguments, key: [-1, *rest]})

    def _module_of(self, metadata: Mapping[str, str]) -> str:
        """The path of the innermost module of an operation; its modules are added with their classes."""
        path = ""
        for entry in metadata.get("nn_module_stack", "").split(";"):
            _, comma, rest = entry.partition(",")
            place, _, qualified = rest.partition(",")
            path = module_path(re.sub(r"@\d+$", "", place))
            if comma and (path or not place):
                self.modules[path] = class_name(qualified)
        return path

    def _refuse(self, operation: str, reason: str, place: str) -> None:
        self.problems.append(Untranslated(operation, reason, place))


def _canonical(target: str) -> tuple[str, bool]:
    """The name of an operation without overload and underscore, and whether it works in place; "" if it is unknown."""
    aten = _TARGET.fullmatch(target)
    if aten:
        name, underscore, _ = aten.groups()
        return ("size" if name == "sym_size" else name), bool(underscore)
    if target.startswith(("_operator.", "math.", "torch.sym_")):
        name = target.rpartition(".")[2].removeprefix("sym_")
        return (name if re.fullmatch(r"\w{1,40}", name) else ""), False
    return "", False


def _argument(operation: str, name: str) -> str:
    """The name of an argument; those of Python's operators become those of ATen."""
    return {"a": "self", "b": "other"}.get(name, name)


def _name(result: Mapping[str, Any]) -> str:
    """The name of one result."""
    ((_, content),) = result.items()
    return str(content["name"] if "name" in content else content["as_name"])


def _number(content: Any) -> int | float | bool:
    """A number of an argument; JSON has no infinity, so torch writes its name."""
    if isinstance(content, str):
        return _NUMBERS[content]
    if not isinstance(content, int | float) or (isinstance(content, int) and abs(content) > 1 << 63):
        raise TypeError("a number")
    return content
