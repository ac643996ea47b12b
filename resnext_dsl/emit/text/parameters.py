"""Names for what differs between the instances of a class: its constructor's parameters, and expressions of them.

A column of values is spelled, in this order, as a literal, as a parameter with the same column (an argument of the
template, `in_channels`, `out_channels`), as a short exact formula of those, or as a parameter of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, permutations

from resnext_dsl.emit.blocks.module_block import Value
from resnext_dsl.emit.patterns.pattern_tree import ABSENT, ClassPattern, Slot, exact, holes
from resnext_dsl.emit.text.python_names import identifier, literal, unused

_LARGEST_DEFAULT = 8
_CLASS = "type[nn.Module]"
_WIDTHS = ("channels", "features")


@dataclass(frozen=True, slots=True)
class ConstructorParameter:
    """A parameter of a constructor.

    Attributes:
        name: Its name.
        values: One for each row.
        annotation: Its type.
        default: Its default as a literal; "" where it has none.
    """

    name: str
    values: tuple[Value, ...]
    annotation: str
    default: str


class Parameters:
    """The parameters that a class turns out to need."""

    def __init__(self, pattern: ClassPattern) -> None:
        self.pattern = pattern
        self._known: dict[str, Slot] = {}
        for name, slot in pattern.arguments:
            self._known[unused(identifier(name), self._known)] = slot
        for name, slot in (("in_channels", pattern.in_channels), ("out_channels", pattern.out_channels)):
            # One name is enough for two columns that are equal throughout.
            if name not in self._known and not any(_agree(slot, column) for column in self._known.values()):
                self._known[name] = slot
        self._columns = _full_columns(pattern)
        self._own: dict[str, Slot] = {}
        self._used: dict[str, Slot] = {}
        self._classes: dict[str, Slot] = {}
        self._flags: dict[tuple[Value, ...], str] = {}

    def expression(self, slot: Slot, child: str, attribute: str) -> str:
        """The text for a column of literals; `child` and `attribute` say what it is for."""
        if slot.constant():
            return literal(next(iter(slot.present()), None))
        found = self._same(slot, attribute)
        if not found:
            slot = next((column for column in self._columns if _agree(slot, column)), slot)
            found = self._same(slot, attribute) or self._formula(slot) or self._new(slot, child, attribute)
        return found

    def module_class(self, slot: Slot, child: str) -> str:
        """The text for a column of modules' classes, `nn.ReLU` or a parameter that holds one."""
        if slot.constant():
            return str(slot.present()[0])
        for name, column in self._classes.items():
            joined = _joined(slot, column) or self._renamed(name, _overlaid(slot, column))
            if joined is not None:
                self._classes[name] = joined
                return name
        named = [name for name in self._known if name not in self._used and name not in self._classes]
        partner = next((name for name in named if self._renamed(name, slot)), "")
        name = partner or unused(child, self._taken())
        self._classes[name] = slot
        return name

    def _renamed(self, name: str, slot: Slot | None) -> Slot | None:
        """The column, if an argument of the template names its classes, one for one."""
        column = self._known.get(name)
        return slot if slot is not None and column is not None and _renames(column, slot) else None

    def flag(self, slot: Slot, name: str) -> str:
        """The text for a column of truth values; `name` is for a parameter of its own."""
        key = tuple(map(exact, slot.values))
        if key not in self._flags:
            self._flags[key] = self._same(slot, name) or self._test(slot, name) or self._new(slot, name, "")
        return self._flags[key]

    def count(self, slot: Slot, child: str) -> str:
        """The text for a column of lengths; the passes after the first are one less than an argument."""
        if not slot.constant() and not self._same(slot, "depth"):
            for name in self._integers():
                column = Slot(tuple(value - 1 for value in self._integers()[name].values))
                if _agree(slot, column):
                    self._use(name)
                    return f"{name} - 1"
        return self.expression(slot, child, "depth")

    def finished(self) -> list[ConstructorParameter]:
        """The parameters that were used: those without a default first, each kind in the order of the template."""
        order = ["in_channels", *self._known, *self._own, *self._classes]
        own = {name: _filled(slot) for name, slot in self._own.items()}
        classes = {name: _filled(slot) for name, slot in self._classes.items()}
        columns = {**self._used, **own, **classes}
        made = [self._parameter(name, columns[name]) for name in dict.fromkeys(order) if name in columns]
        return [p for p in made if not p.default] + [p for p in made if p.default]

    # --- columns that are there already ---

    def _same(self, slot: Slot, attribute: str) -> str:
        """A known or own name with the same column; the one called like the attribute first."""
        first = [attribute] if attribute != "out_channels" else []
        for name in [*first, *self._known]:
            column = self._known.get(name)
            if column is not None and name not in self._classes and _agree(slot, column):
                self._use(name)
                return name
        for name, column in self._own.items():
            joined = _joined(slot, column)
            if joined is not None:
                self._own[name] = joined
                return name
        return ""

    def _use(self, name: str) -> None:
        if name in self._known:
            self._used[name] = _filled(self._known[name])

    def _integers(self) -> dict[str, Slot]:
        columns = {**self._known, **self._own}
        return {
            name: slot
            for name, slot in columns.items()
            if all(type(value) is int for value in slot.values) and not slot.constant() and name not in self._classes
        }

    # --- formulas ---

    def _formula(self, slot: Slot) -> str:
        rows = [(row, value) for row, value in enumerate(slot.values) if value is not ABSENT]
        if any(type(value) is not int for _, value in rows):
            return ""
        integers = self._integers()
        for factor in (_product, _quotient):
            for name, column in integers.items():
                found = factor(name, [(column.values[row], value) for row, value in rows])
                if found:
                    self._use(name)
                    return found
        for one, other in permutations(integers, 2):
            pairs = [(integers[one].values[row], integers[other].values[row], value) for row, value in rows]
            for sign, holds in _SIGNS:
                if (sign in "/-" or one < other) and all(holds(a, b, value) for a, b, value in pairs):
                    self._use(one)
                    self._use(other)
                    turned = sign in "*+" and other == "in_channels"
                    left, right = (other, one) if turned else (one, other)
                    return f"{left} {sign * 2 if sign == '/' else sign} {right}"
        return ""

    # --- truth values ---

    def _test(self, slot: Slot, name: str) -> str:
        # Where a shortcut is one of shapes, the condition speaks of channels; elsewhere arguments say what is meant.
        tests = self._tests()
        if name in ("has_shortcut", "residual"):
            tests.sort(key=lambda test: test[2][0] != "in_channels")
        for text, column, names in tests:
            if _agree(slot, column):
                return self._using(text, names)
        for (one, left, names), (other, right, more) in combinations(tests, 2):
            for word, both in (("and", all), ("or", any)):
                column = Slot(tuple(both(pair) for pair in zip(left.values, right.values, strict=True)))
                if _agree(slot, column):
                    return self._using(f"{one} {word} {other}", names + more)
        return ""

    def _using(self, text: str, names: tuple[str, ...]) -> str:
        for name in names:
            self._use(name)
        return text

    def _tests(self) -> list[tuple[str, Slot, tuple[str, ...]]]:
        """Short conditions on the template's arguments, those that say most about intent first."""
        found: list[tuple[str, Slot, tuple[str, ...]]] = []
        arguments = {name: slot for name, slot in self._known.items() if name not in ("in_channels", "out_channels")}
        usable = {name: s for name, s in arguments.items() if ABSENT not in s.values and name not in self._classes}
        for name, slot in usable.items():
            if all(type(value) is bool for value in slot.values):
                found.append((f"not {name}", Slot(tuple(not value for value in slot.values)), (name,)))
        for name, slot in usable.items():
            if all(type(value) is int and value >= 0 for value in slot.values):
                found.append((f"{name} > 0", Slot(tuple(value > 0 for value in slot.values)), (name,)))
        # 1 is what leaves things as they are: an expansion or a stride of 1.
        for neutral in (True, False):
            for name, slot in usable.items():
                values = sorted({value for value in slot.values if type(value) is int and value <= _LARGEST_DEFAULT})
                for sign in ("!=", "==") if neutral else ("==", "!="):
                    chosen = [value for value in values if value and (value == 1) == neutral]
                    found += [(f"{name} {sign} {v}", _compared(slot, sign, v), (name,)) for v in chosen]
        partners = [name for name in self._integers() if name != "in_channels"]
        for name in partners if "in_channels" in self._integers() else ():
            for sign in ("==", "!="):
                columns = zip(self._known["in_channels"].values, self._integers()[name].values, strict=True)
                column = Slot(tuple((a == b) == (sign == "==") for a, b in columns))
                found.append((f"in_channels {sign} {name}", column, ("in_channels", name)))
        return found

    # --- parameters of their own ---

    def _taken(self) -> set[str]:
        return {*self._known, *self._own, *self._classes}

    def _new(self, slot: Slot, child: str, attribute: str) -> str:
        # An argument that stands for the attribute without having its value (`padding=same`) leaves its name to it.
        free = (
            attribute and attribute not in self._used and attribute not in self._own and attribute not in self._classes
        )
        if free and attribute in self._known and not attribute.endswith(_WIDTHS):
            del self._known[attribute]
        own = child.rpartition(".")[2]
        if attribute.endswith(_WIDTHS):
            wanted = "hidden_channels" if "hidden_channels" not in self._taken() else f"{own}_channels"
        elif not attribute:
            wanted = own
        else:
            wanted = attribute if free else f"{own}_{attribute}"
        name = unused(wanted, self._taken())
        self._own[name] = slot
        return name

    def _parameter(self, name: str, slot: Slot) -> ConstructorParameter:
        weighted: Counter[tuple[type, Value]] = Counter()
        for value, weight in zip(slot.values, self.pattern.weights, strict=True):
            weighted[exact(value)] += weight
        common, count = max(weighted.items(), key=lambda item: (item[1], repr(item[0][1])))
        value = next(value for value in slot.values if exact(value) == common)
        if name in self._classes:
            default = value if 2 * count >= weighted.total() else ""
            return ConstructorParameter(name, slot.values, _CLASS, default)
        small = value in (0, 1) or all(not isinstance(each, int) or each <= _LARGEST_DEFAULT for each in slot.values)
        wide = name.endswith("channels") or type(value) is tuple
        default = literal(value) if 2 * count >= weighted.total() and small and not wide else ""
        return ConstructorParameter(name, slot.values, _annotation(slot.values), default)


def _full_columns(pattern: ClassPattern) -> list[Slot]:
    """Columns of the class that differ and have a value in every row: what partial ones may be widened to."""
    found = [hole for _, child in pattern.children for hole in holes(child) if isinstance(hole, Slot)]
    return [slot for slot in found if ABSENT not in slot.values and not slot.constant()]


def _agree(slot: Slot, column: Slot) -> bool:
    """Whether a column has the values of a slot wherever the slot has one."""
    return all(
        value is ABSENT or exact(value) == exact(other) for value, other in zip(slot.values, column.values, strict=True)
    )


def _joined(slot: Slot, column: Slot) -> Slot | None:
    """Two columns as one, where they agree on all rows of one of them; None where they do not."""
    return _overlaid(slot, column) if _agree(slot, column) or _agree(column, slot) else None


def _overlaid(slot: Slot, column: Slot) -> Slot | None:
    """Two columns as one, where they differ in no row."""
    pairs = list(zip(slot.values, column.values, strict=True))
    if any(ABSENT not in pair and exact(pair[0]) != exact(pair[1]) for pair in pairs):
        return None
    return Slot(tuple(b if a is ABSENT else a for a, b in pairs))


def _renames(names: Slot, slot: Slot) -> bool:
    """Whether strings stand for classes: one name for one class, and the other way round."""
    pairs = {(name, value) for name, value in zip(names.values, slot.values, strict=True) if value is not ABSENT}
    if not all(type(name) is str for name, _ in pairs):
        return False
    return len({name for name, _ in pairs}) == len(pairs) == len({value for _, value in pairs})


def _filled(slot: Slot) -> Slot:
    """The column with the most frequent value in rows that have none."""
    common = Counter(map(exact, slot.present())).most_common(1)[0][0]
    value = next(value for value in slot.present() if exact(value) == common)
    return Slot(tuple(value if each is ABSENT else each for each in slot.values))


def _product(name: str, pairs: list[tuple[int, int]]) -> str:
    """`name * k`, where that holds in all (name's value, value) pairs."""
    base, value = pairs[0]
    exact_factor = base and value % base == 0 and value // base > 1
    return f"{name} * {value // base}" if exact_factor and all(v == b * (value // base) for b, v in pairs) else ""


def _quotient(name: str, pairs: list[tuple[int, int]]) -> str:
    """`name // k`, where that holds in all (name's value, value) pairs; without a remainder, but for halves."""
    base, value = pairs[0]
    if value and base % value == 0 and base // value > 1 and all(v * (base // value) == b for b, v in pairs):
        return f"{name} // {base // value}"
    return f"{name} // 2" if all(v == b // 2 for b, v in pairs) else ""


_SIGNS: tuple[tuple[str, Callable[[int, int, int], bool]], ...] = (
    ("*", lambda a, b, value: value == a * b),
    ("/", lambda a, b, value: b > 1 and value * b == a),
    ("+", lambda a, b, value: value == a + b),
    ("-", lambda a, b, value: value == a - b),
)


def _compared(slot: Slot, sign: str, value: int) -> Slot:
    return Slot(tuple((each == value) == (sign == "==") for each in slot.values))


def _annotation(values: tuple[Value, ...]) -> str:
    names = {"None" if value is None else _type_name(value) for value in values}
    if "float" in names:
        names.discard("int")
    return " | ".join(sorted(names, key=lambda name: (name == "None", name)))


def _type_name(value: Value) -> str:
    if type(value) is tuple:
        return f"tuple[{', '.join(map(_type_name, value))}]"
    return type(value).__name__
