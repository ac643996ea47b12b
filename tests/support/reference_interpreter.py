"""A second interpreter of the language, plain and slow: text in, operators with shapes and counts out.

It is the oracle of property tests, so it imports nothing from the package. It walks lark's tree. No network is cached,
copied or grouped: every statement runs in every pass. Names of operators in the graph, initialisation and domains are
left out; a limit may name parts and their passes.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import lark
from reference_expressions import (
    COMPARISONS,
    ROOT,
    Callee,
    Here,
    Shape,
    Value,
    alias_of,
    bound,
    checked,
    checked_number,
    declare,
    evaluate,
    find,
    formals_of,
    names_of,
    trees,
    unpacked,
)
from reference_operators import MERGES, SIGNATURES, RejectedError, applied, attributes_of, parameters_of

MEASURES = ("params", "flops", "macs", "activations", "depth")


class Operation(NamedTuple):
    """One operator: its attributes, what it reads, its shape and what it costs, and its part (with the pass)."""

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    params: int = 0
    flops: int = 0
    macs: int = 0
    activations: int = 0
    part: str = ""


class Verdict(NamedTuple):
    """One line of a budget: the budget, the measure, what the network has of it, and whether the limit is met."""

    budget: str
    measure: str
    used: int
    met: bool


class Interpretation(NamedTuple):
    """The operators that lead to an output, the outputs as (name, position, training only), and the budgets."""

    operations: list[Operation]
    outputs: list[tuple[str, int, bool]]
    verdicts: list[Verdict]

    @property
    def totals(self) -> tuple[int, ...]:
        """Parameters, FLOPs, multiply-adds and activations."""
        return tuple(sum(getattr(each, name) for each in self.operations) for name in MEASURES[:4])


def interpret(text: str, folder: Path = ROOT / "specs", **overrides: Any) -> Interpretation:
    """The operators, outputs and budget lines of a spec, for these values of its parameters.

    Raises:
        RejectedError: If the spec is wrong, or a requirement is not met.
    """
    run = run_of(text, folder, overrides)
    with rejecting():
        return Interpretation(*run.result(), verdicts_of(run, lambda shape: run_of(text, folder, overrides, shape)))


def run_of(text: str, folder: Path, overrides: Mapping[str, Any], input_shape: Shape | None = None) -> Run:
    """The run of a spec."""
    with rejecting():
        named = {name: Callee(v) if isinstance(v, str) and v in SIGNATURES else v for name, v in overrides.items()}
        return Run(*names_of(text, folder)["<network>"], named, input_shape)


@contextmanager
def rejecting() -> Iterator[None]:
    """Rejects a spec of which something cannot be computed."""
    try:
        yield
    except (lark.LarkError, KeyError, IndexError, ValueError, TypeError, ArithmeticError) as problem:
        raise RejectedError(repr(problem)) from problem


# --- networks ---


class Run:
    """One run of a network: its parameters, then its statements in order."""

    def __init__(
        self,
        tree: lark.Tree,
        around: ChainMap[str, Any],
        levels: list[tuple[lark.Tree, ChainMap[str, Any]]],
        overrides: dict[str, Any],
        input_shape: Shape | None = None,
    ) -> None:
        self.operations: list[Operation] = []
        self.outputs: list[tuple[str, int, bool]] = []
        self.parts: set[str] = set()
        self.part = ""
        self.overridden = bool(overrides)
        self.scope = around.new_child({})
        entries = trees(tree)
        self.scopes: dict[int, ChainMap[str, Any]] = {}
        for level, names in levels:
            for changed in trees(level.children[5]):
                places = [at for at, entry in enumerate(entries) if key_of(entry) == key_of(changed) != ("", "")]
                for at in places:
                    entries[at] = changed
                    self.scopes[id(changed)] = ChainMap(self.scope.maps[0], *names.maps)
        given: dict[str, Any] = {}
        for level, names in levels:
            given |= bound(
                [str(e.children[1]) for e in entries if e.data == "param"], trees(level.children[3]), names, None, None
            )
        given |= overrides
        settings = [*entries, *(entry for level, _ in levels for entry in trees(level.children[5]))]
        self.budgets = [e for e in (trees(levels[-1][0].children[5]) if levels else entries) if e.data == "budget"]
        self._declare(entries, given)
        self.defaults: dict[str, dict[str, Any]] = {}
        for entry in settings:
            if entry.data == "require" and not checked(bool, evaluate(entry.children[1], self.scope)):
                raise RejectedError("a requirement is not met")
            if entry.data == "default":
                name = str(entry.children[1])
                values = bound(parameters_of(name), trees(entry.children[2]), self.scope, None, None)
                self.defaults[name] = self.defaults.get(name, {}) | values
        (declared,) = (e for e in entries if e.data == "input")
        shape = input_shape or evaluate(declared.children[2], self.scopes.get(id(declared), self.scope))
        self.operations.append(Operation("input", {}, (), tuple(shape)))
        x, values = Value(0), {str(declared.children[1]): Value(0)}
        for entry in entries:
            x = self.entry(entry, Here(values, Value(0), x))
        self.outputs.insert(0, ("main", x.at, False))

    def _declare(self, entries: list[lark.Tree], given: dict[str, Any]) -> None:
        for entry in entries:
            declare(entry, self.scopes.get(id(entry), self.scope))
        for entry in entries:
            name = str(entry.children[1]) if entry.data in ("param", "let") else ""
            if entry.data == "param":
                self.scope[name] = given.pop(name) if name in given else evaluate(entry.children[3], self.scope)
            elif entry.data == "let":
                self.scope[name] = evaluate(entry.children[2], self.scopes.get(id(entry), self.scope))
        if given:
            raise RejectedError(f"unknown parameters {given}")

    def entry(self, entry: lark.Tree, here: Here) -> Value:
        """A part, an output or a statement of the network."""
        name = str(entry.children[1]) if entry.data in ("stage", "output") else str(entry.data)
        blocks = [tree for tree in trees(entry) if tree.data == "block"]
        scope = self.scopes.get(id(entry), self.scope)
        if entry.data in ("stem", "head", "stage"):
            x, passes = here.running, entry.children[2] if entry.data == "stage" else None
            if passes is None:
                x = self.in_part(name, blocks[0], scope, here)
            else:
                self.parts.add(name)
                for at, names in enumerate(self.numbered(passes.children[1], passes.children[3], scope, here)):
                    x = self.in_part(f"{name}.{at}", blocks[0], names, here._replace(running=x))
            here.values.update({str(alias): x for alias in (name, alias_of(entry)) if alias is not None})
            return x
        if entry.data == "output":
            x = find(entry.children[5], scope, here) if entry.children[5] is not None else here.running
            if blocks:
                x = self.in_part(name, blocks[0], scope, here._replace(running=x))
            self.outputs.append((name, x.at, entry.children[3] is not None))
            return here.running
        is_declaration = entry.data in ("param", "let", "require", "default", "init", "input", "budget", "function")
        if is_declaration or str(entry.data).startswith("template"):
            return here.running
        return self.statement(entry, self.scope, here)

    def in_part(self, part: str, block: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """The value of one pass of a part."""
        self.parts.add(part)
        self.part = part
        x = self.block(block, scope, here._replace(entering=here.running))
        self.part = ""
        return x

    def numbered(
        self, times: lark.Tree, counter: str | None, scope: ChainMap[str, Any], here: Here
    ) -> list[ChainMap[str, Any]]:
        """The names in each pass of a `repeat`."""
        count = checked(int, evaluate(times, scope, here, self.operations))
        if count < 0:
            raise RejectedError("a negative number of passes")
        named = [{str(counter): at} if counter is not None else {} for at in range(count)]
        return [scope.new_child(names | {"<pass>": (at, count)}) for at, names in enumerate(named)]

    def block(self, block: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """The value after the statements of a block; its constants hold to its end."""
        inner = scope.new_child()
        for statement in trees(block):
            here = here._replace(running=self.statement(statement, inner, here))
        return here.running

    def statement(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """The value after a statement."""
        children = tree.children
        if tree.data == "let":
            scope[str(children[1])] = evaluate(children[2], scope, here, self.operations)
            return here.running
        if tree.data == "use":
            return self.value(children[1], scope, here)
        x: Value = getattr(self, str(tree.data))(tree, scope, here)
        if alias_of(tree) is not None:
            here.values[str(alias_of(tree))] = x
        return x

    def value(self, name: str, scope: ChainMap[str, Any], here: Here) -> Value:
        """The value of the network with this name."""
        found = here.values[name] if name in here.values else find(name, scope, here)
        return checked(Value, found)  # type: ignore[no-any-return]

    def apply(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """A call of an operator or template."""
        callee = find(tree.children[0], scope, here, self.operations)
        arguments = trees(tree.children[1].children[0]) if tree.children[1] is not None else []
        return self.called(checked(Callee, callee), arguments, scope, here, [here.running])

    def called(
        self, callee: Callee, arguments: list[lark.Tree], scope: ChainMap[str, Any], here: Here, inputs: list[Value]
    ) -> Value:
        """The value of an operator on values, or of a template's body."""
        if callee.what in MERGES:
            inputs = [*inputs, *(self.value(argument.children[0], scope, here) for argument in arguments)]
            return inputs[0] if len(inputs) == 1 else self.put(callee.what, {}, inputs)
        given = bound(formals_of(callee), arguments, scope, here, self.operations, callee.arguments)
        if isinstance(callee.what, str):
            return self.put(callee.what, given, inputs)
        inner = callee.scope.new_child({"<pass>": None})
        for formal in trees(callee.what.children[2]) if callee.what.data == "template" else ():
            name, default = str(formal.children[0]), formal.children[1]
            # A default may read the parameters before it.
            inner[name] = given[name] if name in given else evaluate(default, inner)
        x = here.running
        return self.block(callee.what.children[-1], inner, Here({}, x, x))

    def put(self, operator: str, arguments: dict[str, Any], inputs: list[Value]) -> Value:
        """Adds an operator."""
        words = {name: v.what if isinstance(v, Callee) else v for name, v in arguments.items()}
        rank = len(self.operations[inputs[0].at].shape) - 1
        attributes = attributes_of(operator, self.defaults.get(operator, {}) | words, rank)
        costs = applied(operator, attributes, [self.operations[x.at].shape for x in inputs])
        self.operations.append(Operation(operator, attributes, tuple(x.at for x in inputs), *costs, self.part))
        return Value(len(self.operations) - 1)

    def repeat(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """`repeat N as i { ... }`."""
        for names in self.numbered(tree.children[1], tree.children[3], scope, here):
            here = here._replace(running=self.block(tree.children[4], names, here))
        return here.running

    def for_each(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """`for a, b in LIST { ... }`."""
        elements = evaluate(tree.children[2], scope, here, self.operations)
        if not isinstance(elements, list | Shape):
            raise RejectedError("`for` needs a list")
        for at, element in enumerate(elements):
            names = unpacked(tree.children[1], element, scope)
            names["<pass>"] = (at, len(elements))
            here = here._replace(running=self.block(tree.children[3], names, here))
        return here.running

    def condition(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """`if c { ... } else if d { ... } else { ... }`."""
        parts = trees(tree)
        while len(parts) > 1:
            if checked(bool, evaluate(parts[0], scope, here, self.operations)):
                return self.block(parts[1], scope, here)
            parts = parts[2:]
        return self.block(parts[0], scope, here) if parts else here.running

    def split(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """`split N slice as k { ... } merge KIND`, or with listed paths."""
        _, times, slices, _, counter, body, _, merge, call, *_ = tree.children
        widths = evaluate(times, scope, here, self.operations) if times is not None else None
        if body.data == "paths":
            paths = self.listed(body, scope, here)
        else:
            count = len(widths) if slices is not None and isinstance(widths, list) else checked(int, widths)
            names = [{str(counter): k} if counter is not None else {} for k in range(count)]
            paths = [(body, scope.new_child(each)) for each in names]
        if not paths:
            raise RejectedError("a split has a path")
        starts = [here.running] * len(paths)
        if slices is not None and isinstance(widths, list):
            ends = list(accumulate(widths))
            if ends[-1] != self.operations[here.running.at].shape[0] or min(widths) < 1:
                raise RejectedError("the widths of slices add up to the channels")
            bounds = [{"start": end - width, "stop": end} for end, width in zip(ends, widths, strict=True)]
            starts = [self.put("slice", each, [here.running]) for each in bounds]
        elif slices is not None:
            width, rest = divmod(self.operations[here.running.at].shape[0], len(paths))
            if rest:
                raise RejectedError("slices are equal")
            bounds = [{"start": k * width, "stop": (k + 1) * width} for k in range(len(paths))]
            starts = [self.put("slice", each, [here.running]) for each in bounds]
        ends = [self.block(b, s, here._replace(running=x)) for (b, s), x in zip(paths, starts, strict=True)]
        arguments = trees(call.children[0]) if call is not None else []
        return self.called(find(merge, scope, here), arguments, scope, here, ends or [here.running])

    def listed(
        self, paths: lark.Tree, scope: ChainMap[str, Any], here: Here
    ) -> list[tuple[lark.Tree, ChainMap[str, Any]]]:
        """The paths that a split lists, with their names: those under a condition that holds, those of every pass."""
        found: list[tuple[lark.Tree, ChainMap[str, Any]]] = []
        for item in trees(paths):
            if item.data == "path":
                found.append((item.children[1], scope))
            elif item.data == "path_if":
                parts = trees(item)
                while len(parts) > 1 and not checked(bool, evaluate(parts[0], scope, here, self.operations)):
                    parts = parts[2:]
                found += self.listed(parts[-1 if len(parts) == 1 else 1], scope, here) if parts else []
            elif item.data == "path_repeat":
                for names in self.numbered(item.children[1], item.children[3], scope, here):
                    found += self.listed(item.children[4], names, here)
            else:
                elements = evaluate(item.children[2], scope, here, self.operations)
                for at, element in enumerate(elements):
                    names = unpacked(item.children[1], element, scope)
                    names["<pass>"] = (at, len(elements))
                    found += self.listed(item.children[3], names, here)
        return found

    def residual(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Value:
        """`residual(shortcut=KIND) { ... } shortcut { ... }`."""
        _, call, body, _, own, *_ = tree.children
        given = bound(["shortcut", "when"], trees(call.children[0]), scope, here, self.operations) if call else {}
        kind = given.get("shortcut", "auto")
        kind = kind.what if isinstance(kind, Callee) else kind
        x = here.running
        adds = checked(bool, given.get("when", True))
        end = self.block(body, scope, here)
        if not adds:
            return end
        before, after = (self.operations[v.at].shape for v in (x, end))
        if own is not None:
            x = self.block(own, scope, here)
        elif kind == "skip" and before != after:
            return end
        elif kind == "projection" or (kind in ("auto", "pad") and before != after):
            stride = tuple(stride_of(n, m) for n, m in zip(before[1:], after[1:], strict=True))
            x = self.shortened(kind, x, stride, after[0])
        return self.put("add", {}, [end, x])

    def shortened(self, kind: str, x: Value, stride: tuple[int, ...], channels: int) -> Value:
        """The shortcut of types A (`pad`), B and C."""
        if kind == "pad":
            x = self.put("subsample", {"stride": stride}, [x]) if max(stride) > 1 else x
            grows = self.operations[x.at].shape[0] != channels
            return self.put("pad_channels", {"channels": channels}, [x]) if grows else x
        plain = {"padding": 0, "dilation": 1, "groups": 1, "bias": False}
        x = self.put("conv", {"channels": channels, "kernel": 1, "stride": stride} | plain, [x])
        return self.put("bn", {}, [x])

    def result(self) -> tuple[list[Operation], list[tuple[str, int, bool]]]:
        """The operators that lead to an output, and the outputs; FLOPs of what runs in training only are 0."""
        used = self.before([at for _, at, _ in self.outputs]) | {0}
        runs = self.before([at for _, at, training in self.outputs if not training])
        place = {at: index for index, at in enumerate(sorted(used))}
        kept = []
        for at in place:
            operation = self.operations[at]._replace(inputs=tuple(place[i] for i in self.operations[at].inputs))
            kept.append(operation if at in runs else operation._replace(flops=0, macs=0, activations=0))
        return kept, [(name, place[at], training) for name, at, training in self.outputs]

    def before(self, ends: list[int]) -> set[int]:
        """The operations that these depend on, and these."""
        found: set[int] = set()
        while ends:
            at = ends.pop()
            if at not in found:
                found.add(at)
                ends += self.operations[at].inputs
        return found


def key_of(entry: lark.Tree) -> tuple[str, str]:
    """The kind and name by which an entry of a derived network replaces one of its base; empty for other entries."""
    kind = str(entry.data).removesuffix("_bare")
    if kind in ("template", "function", "let", "stage", "output", "input"):
        return kind, str(entry.children[1])
    return (kind, "") if kind in ("stem", "head") else ("", "")


def stride_of(before: int, after: int) -> int:
    """The smallest stride of a 1x1 convolution that gives this size."""
    for stride in range(1, before + 1):
        if (before - 1) // stride + 1 == after:
            return stride
    raise RejectedError(f"no stride makes {after} of {before}")


# --- budgets ---


def verdicts_of(run: Run, at_input: Any) -> list[Verdict]:
    """Every limit on a count, with what the network has and whether that meets the limit."""
    verdicts = []
    for budget in run.budgets:
        conditions = trees(budget.children[2].children[0]) if budget.children[2] is not None else []
        shapes = [each.children[1] for each in conditions if each.children[0] == "input"]
        held = at_input(evaluate(shapes[0], run.scope)) if shapes else run
        for limit in trees(budget)[1 if conditions else 0 :]:
            path = [str(word) for word in limit.children[0].children if isinstance(word, str)]
            if path[-1] not in MEASURES:
                continue
            used = measured(held, ".".join(path[:-1]), path[-1])
            box = limit.data == "limit_box"
            bounds = list(zip((">=", "<="), limit.children[1:], strict=True)) if box else [limit.children[1:]]
            for sign, bound_tree in bounds:
                met = COMPARISONS[sign](used, checked_number(evaluate(bound_tree, run.scope)))
                verdicts.append(Verdict(str(budget.children[1] or ""), ".".join(path), used, met))
    return verdicts


def measured(run: Run, part: str, measure: str) -> int:
    """The value of a measure of a network, or of a part of it."""
    if part and part not in run.parts and not run.overridden:  # other values may give fewer passes
        raise RejectedError(f"no part {part}")
    operations, outputs = run.result()
    inside = [each.part == part or each.part.startswith(f"{part}.") or not part for each in operations]
    if measure != "depth":
        return sum(getattr(each, measure) for each, counts in zip(operations, inside, strict=True) if counts)
    depths: list[int] = []
    for each, counts in zip(operations, inside, strict=True):
        deepest = max((depths[i] for i in each.inputs), default=0)
        depths.append(deepest + (counts and each.operator in ("conv", "conv_transpose", "linear")))
    # An output of training only has no depth; no operator after it runs in inference.
    return max(depths[at] for _, at, training in outputs if not training)
