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
    BUILTINS,
    COMPARISONS,
    ROOT,
    Builtin,
    Callee,
    Flow,
    Here,
    Shape,
    Value,
    aliases_of,
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
from reference_operators import LIKE, MERGES, SIGNATURES, RejectedError, applied, attributes_of, parameters_of

MEASURES = ("params", "flops", "macs", "activations", "depth")


class Operation(NamedTuple):
    """One operator: its attributes, what it reads, its shape and what it costs, its part (with the pass) and module.

    The module is that of a shared instance: the instance, and the place of the operator in a use of it.
    """

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    params: int = 0
    flops: int = 0
    macs: int = 0
    activations: int = 0
    part: str = ""
    module: tuple[Any, int] | None = None


class Instance(NamedTuple):
    """A shared instance: its operator or template with all arguments, its key, and the operators of its first use."""

    callee: Callee
    key: Any
    first: list[tuple[Any, ...]]


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
        named = {name: named_value(v) if isinstance(v, str) else v for name, v in overrides.items()}
        return Run(*names_of(text, folder)["<network>"], named, input_shape)


def named_value(text: str) -> Any:
    """The operator or built-in function of this name; any other text as it is."""
    return Callee(text) if text in SIGNATURES else Builtin(text) if text in BUILTINS else text


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
        self.use: tuple[Any, list[None]] | None = None  # the key of the instance, and one item for each operator
        self.instances = 0
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
        x: Flow = Value(0)
        values: dict[str, Flow] = {str(declared.children[1]): Value(0)}
        for entry in entries:
            x = self.entry(entry, Here(values, Value(0), x))
        if x == Value(0):
            raise RejectedError("no operators")
        self.outputs[:0] = results("main", x, False)

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

    def entry(self, entry: lark.Tree, here: Here) -> Flow:
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
            here.values[name] = x
            return named(x, aliases_of(entry), here)
        if entry.data == "output":
            x = self.flow(entry.children[5], scope, here) if entry.children[5] is not None else here.running
            if blocks and isinstance(x, Value):
                x = self.in_part(name, blocks[0], scope, here._replace(running=x))
            elif blocks:
                self.parts.add(name)
                places = [f"{name}.{k}" for k in range(len(x))]
                starts = [here._replace(running=value) for value in x]
                ends = [self.in_part(p, blocks[0], scope, h) for p, h in zip(places, starts, strict=True)]
                x = [checked(Value, end) for end in ends]
            self.outputs += results(name, x, entry.children[3] is not None)
            return here.running
        is_declaration = entry.data in ("param", "let", "require", "default", "init", "input", "budget", "function")
        if is_declaration or str(entry.data).startswith("template"):
            return here.running
        return self.statement(entry, self.scope, here)

    def in_part(self, part: str, block: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
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

    def block(self, block: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """The value after the statements of a block; its constants hold to its end."""
        inner = scope.new_child()
        for statement in trees(block):
            here = here._replace(running=self.statement(statement, inner, here))
        return here.running

    def statement(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """The value after a statement."""
        children = tree.children
        if tree.data == "let":
            scope[str(children[1])] = evaluate(children[2], scope, here, self.operations)
            return here.running
        if tree.data == "use":
            return named(self.flow(children[1], scope, here), aliases_of(tree), here)
        if tree.data == "shared":
            scope[str(children[1])] = self.instance(tree, scope, here)
            return here.running
        return named(getattr(self, str(tree.data))(tree, scope, here), aliases_of(tree), here)

    def flow(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """The value or the list of values that an expression gives; a value goes before a declaration of its name."""
        name = str(tree.children[0]) if tree.data == "name" else ""
        found = here.values[name] if name in here.values else evaluate(tree, scope, here, self.operations)
        if isinstance(found, list) and found and all(isinstance(each, Value) for each in found):
            return found
        return checked(Value, found)  # type: ignore[no-any-return]

    def instance(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Instance:
        """The instance that a `shared` declares; one that a use declares is the same in every use."""
        callee = checked(Callee, find(tree.children[2], scope, here, self.operations))
        call = tree.children[3]
        arguments = trees(call.children[0]) if call is not None else []
        if callee.what not in MERGES:
            given = bound(formals_of(callee), arguments, scope, here, self.operations, callee.arguments)
            callee = callee._replace(arguments=given)
        elif arguments:
            raise RejectedError("an instance takes no values")
        if any(isinstance(value, Value) for value in callee.arguments.values()):
            raise RejectedError("an instance takes no values")
        self.instances += 1
        inner = None if self.use is None else (self.use[0], len(self.use[1]), str(tree.children[1]))
        return Instance(callee, inner or self.instances, [])

    def used(self, instance: Instance, scope: ChainMap[str, Any], here: Here) -> Flow:
        """The value of a use of an instance, whose operators are those of its first use."""
        outer, self.use = self.use, (instance.key, [])
        start = len(self.operations)
        x = self.called(instance.callee, [], scope, here, [here.running])
        self.use = outer
        operators: list[tuple[Any, ...]] = []
        outside: list[int] = []
        for each in self.operations[start:]:
            shapes = [self.operations[at].shape for at in each.inputs]
            sizes = shapes if each.operator == "pad_same" else [(len(shape), shape[0]) for shape in shapes]
            places = [place_of(at, start, outside) for at in each.inputs]
            operators.append((each.operator, each.attributes, each.params, each.module, sizes, places))
        operators.append(tuple(place_of(value.at, start, outside) for value in joined([x])))
        if instance.first and instance.first != [operators]:
            raise RejectedError("the uses of an instance differ")
        instance.first[:] = [operators]
        return x

    def apply(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """A call of an operator or template."""
        callee = find(tree.children[0], scope, here, self.operations)
        arguments = trees(tree.children[1].children[0]) if tree.children[1] is not None else []
        if isinstance(callee, Instance):
            if arguments:
                raise RejectedError("a use takes no arguments")
            return self.used(callee, scope, here)
        return self.called(checked(Callee, callee), arguments, scope, here, [here.running])

    def called(
        self, callee: Callee, arguments: list[lark.Tree], scope: ChainMap[str, Any], here: Here, inputs: list[Flow]
    ) -> Flow:
        """The value of an operator on values, or of a template's body."""
        if callee.what in MERGES:
            values = joined([*inputs, *(self.flow(argument, scope, here) for argument in arguments)])
            return values[0] if len(values) == 1 else self.put(callee.what, {}, values)
        if callee.what in LIKE:
            others = [each for each in arguments if each.data != "keyword" or each.children[0] == "like"]
            arguments = [each for each in arguments if each not in others]
            inputs = [
                *inputs,
                *(self.flow(each.children[-1] if each.data == "keyword" else each, scope, here) for each in others),
            ]
        given = bound(formals_of(callee), arguments, scope, here, self.operations, callee.arguments)
        if callee.what == "identity":
            return inputs[0]
        if isinstance(callee.what, str):
            return self.put(callee.what, given, [checked(Value, x) for x in inputs])
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
        module = None
        if self.use is not None:
            module = self.use[0], len(self.use[1])
            self.use[1].append(None)
        read = tuple(x.at for x in inputs)
        self.operations.append(Operation(operator, attributes, read, *costs, self.part, module))
        return Value(len(self.operations) - 1)

    def repeat(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """`repeat N as i { ... }`."""
        for names in self.numbered(tree.children[1], tree.children[3], scope, here):
            here = here._replace(running=self.block(tree.children[4], names, here))
        return here.running

    def for_each(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """`for a, b in LIST { ... }`."""
        elements = evaluate(tree.children[2], scope, here, self.operations)
        if not isinstance(elements, list | Shape):
            raise RejectedError("`for` needs a list")
        for at, element in enumerate(elements):
            names = unpacked(tree.children[1], element, scope)
            names["<pass>"] = (at, len(elements))
            here = here._replace(running=self.block(tree.children[3], names, here))
        return here.running

    def condition(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
        """`if c { ... } else if d { ... } else { ... }`."""
        parts = [part for part in trees(tree) if part.data != "names"]
        while len(parts) > 1:
            if checked(bool, evaluate(parts[0], scope, here, self.operations)):
                return self.block(parts[1], scope, here)
            parts = parts[2:]
        return self.block(parts[0], scope, here) if parts else here.running

    def split(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
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
        starts: list[Flow] = [here.running] * len(paths)
        whole = checked(Value, here.running) if slices is not None else Value(0)
        if slices is not None and isinstance(widths, list):
            stops = list(accumulate(widths))
            if stops[-1] != self.operations[whole.at].shape[0] or min(widths) < 1:
                raise RejectedError("the widths of slices add up to the channels")
            bounds = [{"start": end - width, "stop": end} for end, width in zip(stops, widths, strict=True)]
            starts = [self.put("slice", each, [whole]) for each in bounds]
        elif slices is not None:
            width, rest = divmod(self.operations[whole.at].shape[0], len(paths))
            if rest:
                raise RejectedError("slices are equal")
            bounds = [{"start": k * width, "stop": (k + 1) * width} for k in range(len(paths))]
            starts = [self.put("slice", each, [whole]) for each in bounds]
        ends = [self.block(b, s, here._replace(running=x)) for (b, s), x in zip(paths, starts, strict=True)]
        arguments = trees(call.children[0]) if call is not None else []
        if merge == "list":
            if arguments:
                raise RejectedError("a list takes no arguments")
            return joined(ends)
        return self.called(find(merge, scope, here), arguments, scope, here, ends)

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

    def residual(self, tree: lark.Tree, scope: ChainMap[str, Any], here: Here) -> Flow:
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
        end = checked(Value, end)
        if own is not None:
            return self.put("add", {}, [end, checked(Value, self.block(own, scope, here))])
        x = checked(Value, x)
        before, after = (self.operations[v.at].shape for v in (x, end))
        if kind == "skip" and before != after:
            return end
        if kind == "projection" or (kind in ("auto", "pad") and before != after):
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
        kept, owned = [], set()
        for at in place:
            operation = self.operations[at]._replace(inputs=tuple(place[i] for i in self.operations[at].inputs))
            if operation.module in owned:
                operation = operation._replace(params=0)
            owned |= {operation.module} - {None}
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


def named(x: Flow, names: list[str], here: Here) -> Flow:
    """The value of a statement, with its names: one for all of it, or one for each value of a list."""
    if len(names) == 1:
        here.values[names[0]] = x
    elif names:
        here.values.update(zip(names, joined([x]), strict=True))
    return x


def joined(flows: list[Flow]) -> list[Value]:
    """All values, those of lists in their place."""
    return [value for flow in flows for value in (flow if isinstance(flow, list) else [flow])]


def results(name: str, x: Flow, training: bool) -> list[tuple[str, int, bool]]:
    """The outputs of a value or of a list of values."""
    if isinstance(x, Value):
        return [(name, x.at, training)]
    return [(f"{name}.{k}", value.at, training) for k, value in enumerate(x)]


def place_of(at: int, start: int, outside: list[int]) -> int:
    """The number of an operation in a use of an instance; below 0 for one from outside, in the order of first reading."""
    if at >= start:
        return at - start
    if at not in outside:
        outside.append(at)
    return -1 - outside.index(at)


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
