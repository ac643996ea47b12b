"""The parameters of a constructor, and expressions of them for the values that differ between instances of the class.

A column of values gets the first of these spellings that fits:

1. a literal, if the column is constant
2. a parameter with the same column: an argument of the template, `in_channels`, `out_channels`
3. a short exact formula of these parameters
4. a new parameter
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from resnext_dsl.emit.blocks.module_block import Value
from resnext_dsl.emit.patterns.pattern_tree import ABSENT, ClassPattern, Slot, exact
from resnext_dsl.emit.text.column_formulas import Condition, conditions, formula
from resnext_dsl.emit.text.python_names import identifier, literal, unused
from resnext_dsl.emit.text.value_columns import agree, filled, full_columns, joined, overlaid, renames

_LARGEST_DEFAULT = 8
_CLASS = "type[nn.Module]"
_WIDTHS = ("channels", "features")


@dataclass(frozen=True, slots=True)
class ConstructorParameter:
    """A parameter of a constructor.

    Attributes:
        name: The name.
        values: One value for each row.
        annotation: The type.
        default: The default as a literal; "" if there is none.
    """

    name: str
    values: tuple[Value, ...]
    annotation: str
    default: str


class Parameters:
    """The parameters that a class needs, collected while its text is written.

    Attributes:
        pattern: The pattern of the class.
        child: The child of the class whose text is being written.
    """

    def __init__(self, pattern: ClassPattern) -> None:
        self.pattern = pattern
        self.child = ""
        self._known: dict[str, Slot] = {}
        for name, slot in pattern.arguments:
            self._known[unused(identifier(name), self._known)] = slot
        for name, slot in (("in_channels", pattern.in_channels), ("out_channels", pattern.out_channels)):
            # Columns that are equal in every row need only one name.
            if name not in self._known and not any(agree(slot, column) for column in self._known.values()):
                self._known[name] = slot
        self._columns = full_columns(pattern)
        self._new_columns: dict[str, Slot] = {}
        self._used: dict[str, Slot] = {}
        self._classes: dict[str, Slot] = {}
        self._flags: dict[tuple[Value, ...], str] = {}

    def expression(self, slot: Slot, child: str, attribute: str) -> str:
        """The text for a column of literals, which are an attribute of a child."""
        if slot.constant():
            return self._of_shortcut(slot, attribute) or literal(next(iter(slot.present()), None))
        text = self._same(slot, attribute)
        if not text:
            slot = next((column for column in self._columns if agree(slot, column)), slot)
            text = self._same(slot, attribute) or self._formula(slot) or self._new(slot, child, attribute)
        return text

    def module_class(self, slot: Slot, child: str) -> str:
        """The text for a column of module classes: `nn.ReLU`, or a parameter that holds the class."""
        if slot.constant():
            return str(slot.present()[0])
        for name, column in self._classes.items():
            both = joined(slot, column) or self._renamed(name, overlaid(slot, column))
            if both is not None:
                self._classes[name] = both
                return name
        named = [name for name in self._known if name not in self._used and name not in self._classes]
        partner = next((name for name in named if self._renamed(name, slot)), "")
        name = partner or unused(_word(child), self._taken())
        self._classes[name] = slot
        return name

    def _renamed(self, name: str, slot: Slot | None) -> Slot | None:
        """The column, if an argument of the template names its classes one to one."""
        column = self._known.get(name)
        return slot if slot is not None and column is not None and renames(column, slot) else None

    def flag(self, slot: Slot, name: str) -> str:
        """The text for a column of truth values; a new parameter is called `name`."""
        key = tuple(map(exact, slot.values))
        if key not in self._flags:
            self._flags[key] = self._same(slot, name) or self._test(slot, name) or self._new(slot, name, "")
        return self._flags[key]

    def count(self, slot: Slot, child: str) -> str:
        """The text for a column of lengths; a loop over all passes but the first has `argument - 1`."""
        if not slot.constant() and not self._same(slot, "depth"):
            for name, lengths in self._integers().items():
                column = Slot(tuple(value - 1 for value in lengths.values))
                if agree(slot, column):
                    self._use(name)
                    return f"{name} - 1"
        return self.expression(slot, child, "depth")

    def finished(self) -> list[ConstructorParameter]:
        """The parameters in use: first those without a default, each kind in the order of the template."""
        order = ["in_channels", *self._known, *self._new_columns, *self._classes]
        new = {name: filled(slot) for name, slot in self._new_columns.items()}
        classes = {name: filled(slot) for name, slot in self._classes.items()}
        columns = {**self._used, **new, **classes}
        parameters = [self._parameter(name, columns[name]) for name in dict.fromkeys(order) if name in columns]
        return [p for p in parameters if not p.default] + [p for p in parameters if p.default]

    # --- parameters with the same column ---

    def _same(self, slot: Slot, attribute: str) -> str:
        """A parameter with the same column, preferably one with the attribute's name; "" if there is none."""
        first = [attribute] if attribute != "out_channels" else []
        for name in [*first, *self._known]:
            column = self._known.get(name)
            if column is not None and name not in self._classes and agree(slot, column):
                self._use(name)
                return name
        for name, column in self._new_columns.items():
            both = joined(slot, column)
            if both is not None:
                self._new_columns[name] = both
                return name
        return ""

    def _of_shortcut(self, slot: Slot, attribute: str) -> str:
        """A parameter in place of a literal in a shortcut that some rows lack; "" if there is none.

        The shortcut is right for every width and stride that the constructor takes, not for those of the spec alone.
        """
        if self.child != "shortcut" or ABSENT not in slot.values:
            return ""
        if attribute == "stride":
            columns = [slot for name, slot in self._known.items() if name == "stride"]
        else:
            inner = [self.pattern.in_channels] if attribute.endswith(_WIDTHS) else []
            outer = [self.pattern.out_channels] if attribute.endswith(_WIDTHS) else []
            columns = inner if attribute.startswith("in_") else [*outer, *inner]
        for column in columns:
            if not column.constant() and agree(slot, column):
                name = next((name for name, known in self._known.items() if agree(column, known)), "")
                if name:
                    self._use(name)
                    return name
        return ""

    def _use(self, name: str) -> None:
        if name in self._known:
            self._used[name] = filled(self._known[name])

    def _integers(self) -> dict[str, Slot]:
        columns = {**self._known, **self._new_columns}
        return {
            name: slot
            for name, slot in columns.items()
            if all(type(value) is int for value in slot.values) and not slot.constant() and name not in self._classes
        }

    # --- formulas and conditions ---

    def _formula(self, slot: Slot) -> str:
        expression = formula(slot, self._integers())
        return "" if expression is None else self._using(expression.text, expression.names)

    def _test(self, slot: Slot, name: str) -> str:
        """The condition that has the truth values of a column; "" if there is none."""
        general = self._shapes_test(slot, name == "residual") if name in ("has_shortcut", "residual") else ""
        if general:
            return general
        tests = self._conditions()
        if name in ("has_shortcut", "residual"):  # their conditions compare channels if they can
            tests.sort(key=lambda test: test.names[0] != "in_channels")
        for test in tests:
            if agree(slot, test.column):
                return self._using(test.text, test.names)
        for one, other in combinations(tests, 2):
            for word, both in (("and", all), ("or", any)):
                pairs = zip(one.column.values, other.column.values, strict=True)
                if agree(slot, Slot(tuple(both(pair) for pair in pairs))):
                    return self._using(f"{one.text} {word} {other.text}", one.names + other.names)
        return ""

    def _shapes_test(self, slot: Slot, equal: bool) -> str:
        """Whether input and output differ in shape: `stride != 1 or in_channels != channels`. The negation if `equal`.

        The text is right for all arguments. A shorter one may be right for those of the spec alone.
        """
        sign, word, both = ("==", "and", all) if equal else ("!=", "or", any)
        tests = [self._widths_test(sign)]
        stride = self._known.get("stride")
        if stride is not None and not stride.constant():
            column = Slot(tuple((value == 1) == equal for value in stride.values))
            tests.insert(0, Condition(f"stride {sign} 1", column, ("stride",)))
        known = [test for test in tests if test is not None]
        if not known:
            return ""
        column = Slot(tuple(map(both, zip(*(test.column.values for test in known), strict=True))))
        if not agree(slot, column):
            return ""
        return self._using(f" {word} ".join(test.text for test in known), tuple(n for t in known for n in t.names))

    def _widths_test(self, sign: str) -> Condition | None:
        """The comparison of the input's channels with the output's; None if no parameter changes one of them."""
        sides = [self._width(self.pattern.in_channels), self._width(self.pattern.out_channels)]
        named = [side for side in sides if side is not None and side[1]]
        if None in sides or not named:
            return None
        texts = [side[0] for side in sides if side is not None]
        if not sides[0][1]:  # type: ignore[index]
            texts.reverse()
        pairs = zip(self.pattern.in_channels.values, self.pattern.out_channels.values, strict=True)
        column = Slot(tuple((one == other) == (sign == "==") for one, other in pairs))
        return Condition(f"{texts[0]} {sign} {texts[1]}", column, tuple(name for side in named for name in side[1]))

    def _width(self, slot: Slot) -> tuple[str, tuple[str, ...]] | None:
        """The text of a column of channels with the parameters in it; None if they do not determine it."""
        if slot.constant():
            return literal(slot.values[0]), ()
        name = next((name for name, column in self._known.items() if agree(slot, column)), "")
        if name:
            return name, (name,)
        expression = formula(slot, self._integers())
        return (expression.text, expression.names) if expression is not None else None

    def _conditions(self) -> list[Condition]:
        arguments = {name: slot for name, slot in self._known.items() if name not in ("in_channels", "out_channels")}
        usable = {name: s for name, s in arguments.items() if ABSENT not in s.values and name not in self._classes}
        return conditions(usable, self._integers())

    def _using(self, text: str, names: tuple[str, ...]) -> str:
        for name in names:
            self._use(name)
        return text

    # --- new parameters ---

    def _taken(self) -> set[str]:
        return {*self._known, *self._new_columns, *self._classes}

    def _new(self, slot: Slot, child: str, attribute: str) -> str:
        # An argument with the attribute's name and other values (`padding=same`) gives the name to the new parameter.
        free = (
            attribute
            and attribute not in self._used
            and attribute not in self._new_columns
            and attribute not in self._classes
        )
        if free and attribute in self._known and not attribute.endswith(_WIDTHS):
            del self._known[attribute]
        child_name = _word(child.rpartition(".")[2])
        if attribute.endswith(_WIDTHS):
            wanted = "hidden_channels" if "hidden_channels" not in self._taken() else f"{child_name}_channels"
        elif not attribute:
            wanted = child_name
        else:
            wanted = attribute if free else f"{child_name}_{attribute}"
        name = unused(wanted, self._taken())
        self._new_columns[name] = slot
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


def _word(child: str) -> str:
    """A name for a parameter of a child: the name of the child, or a word before its number."""
    return child if child and not child[0].isdigit() else f"layer{child}"


def _annotation(values: tuple[Value, ...]) -> str:
    names = {"None" if value is None else _type_name(value) for value in values}
    if "float" in names:
        names.discard("int")
    return " | ".join(sorted(names, key=lambda name: (name == "None", name)))


def _type_name(value: Value) -> str:
    if type(value) is tuple:
        return f"tuple[{', '.join(map(_type_name, value))}]"
    return type(value).__name__
