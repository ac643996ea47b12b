"""The method `init_weights`, from the initialisation rules of a spec."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from resnext_dsl.emit.blocks.levels import Levels
from resnext_dsl.emit.blocks.module_block import Value
from resnext_dsl.emit.text.call_layout import INDENT, WIDTH, Bracketed, indented, lines
from resnext_dsl.emit.text.python_names import literal, place_literal
from resnext_dsl.graph.ir import Node
from resnext_dsl.operators import OPERATORS, ModuleCall
from resnext_dsl.semantics.init_schemes import SchemeRule, applies, fields_of


@dataclass(frozen=True, slots=True)
class FieldInit:
    """The initial values of one field of one operator's modules.

    If several rules apply, the rule of the longest path wins; among equal paths, the last rule wins.

    Attributes:
        operator: Name of the operator.
        field: "weight" or "bias".
        scheme: A key of `SCHEMES`.
        arguments: Name -> value of the scheme's arguments; missing ones have the scheme's defaults.
        path: Name of the module whose weights follow the rule, with those inside it; "" for the whole network.
    """

    operator: str
    field: str
    scheme: str
    arguments: tuple[tuple[str, Value], ...] = ()
    path: str = ""


SCHEMES: dict[str, dict[str, Value]] = {
    "kaiming_normal": {"fan": "fan_in", "gain": "relu", "per_group": False},
    "kaiming_uniform": {"fan": "fan_in", "gain": "relu", "per_group": False},
    "xavier_normal": {},
    "xavier_uniform": {},
    "normal": {"std": 0.01},
    "trunc_normal": {"std": 0.01},
    "uniform": {"bound": 0.01},
    "linear_uniform": {},
    "zeros": {},
    "ones": {},
    "constant": {"value": 0.0},
}
"""Scheme -> its arguments and their defaults."""


def init_weights(levels: Levels, rules: Sequence[SchemeRule]) -> list[str]:
    """The method `init_weights`; no lines if no rule applies to a module of the graph.

    Raises:
        ValueError: If no module can follow a rule.
    """
    for rule in rules:
        if not applies(rule.operator, rule.field, rule.scheme):
            raise ValueError(f"`{rule.operator}.{rule.field}` cannot start as `{rule.scheme}`")
    branches = _branches(_bodies(levels, rules))
    if not branches:
        return []
    by_place = any("place." in line for line in branches)
    return [
        "def init_weights(self, root: nn.Module | None = None) -> None:",
        '    """Initialise the weights: all, or those of `root`."""',
        *(['    places = {module: f"{name}." for name, module in self.named_modules()}'] if by_place else []),
        "    for module in (self if root is None else root).modules():",
        *(['        place = places.get(module, "")'] if by_place else []),
        *indented(branches, 2),
    ]


def _bodies(levels: Levels, rules: Sequence[SchemeRule]) -> dict[str, list[str]]:
    """Class -> statements that initialise its modules."""
    targets = _targets(levels)
    bodies: dict[str, list[str]] = {}
    for operator, field in dict.fromkeys((rule.operator, rule.field) for rule in rules):
        by_path = {rule.path: rule for rule in rules if (rule.operator, rule.field) == (operator, field)}
        for target, nodes in targets.get(operator, {}).items():
            having = {node.module_name for node in nodes if field in fields_of(levels.graph, node)}
            statements = _started(field, by_path, target, nodes, having)
            if statements:
                bodies.setdefault(target, []).extend(statements)
    return bodies


def _branches(bodies: Mapping[str, list[str]]) -> list[str]:
    alike: dict[tuple[str, ...], list[str]] = {}
    for target, body in bodies.items():
        alike.setdefault(tuple(body), []).append(target)
    branches: list[str] = []
    # Some helper classes are subclasses of a class of torch, whose branch would take their modules.
    ordered = sorted(alike.items(), key=lambda item: any(target.startswith("nn.") for target in item[1]))
    for statements, targets in ordered:
        kinds = targets[0] if len(targets) == 1 else f"({', '.join(targets)})"
        test = _only_if(f"isinstance(module, {kinds})", statements)
        branches += [f"el{test[0]}" if branches else test[0], *test[1:]]
    return branches


def _targets(levels: Levels) -> dict[str, dict[str, list[Node]]]:
    """Operator -> class -> nodes whose modules are instances of the class."""
    nodes_of: dict[str, dict[str, list[Node]]] = {}
    for node, source in zip(levels.graph.nodes, levels.sources, strict=True):
        if isinstance(source, ModuleCall) and OPERATORS[node.operator].init_fields:
            nodes_of.setdefault(node.operator, {}).setdefault(source.target, []).append(node)
    return nodes_of


def _started(
    field: str, rules: Mapping[str, SchemeRule], target: str, nodes: Sequence[Node], having: Collection[str]
) -> list[str]:
    """Statements that start one field of the modules of a class, each by the rule that it follows.

    Args:
        field: Name of the parameter.
        rules: Rules of the field by path.
        target: The class.
        nodes: The nodes whose modules are of the class.
        having: Names of the modules that have the field.
    """
    followed = {node.module_name: _followed(rules, node.module_name) for node in nodes}
    chosen = {rule.path: rule for name, rule in followed.items() if rule is not None and name in having}
    statements = _chain({path: _statements(field, rule, target) for path, rule in chosen.items()})
    if statements and any(rule is not None and name not in having for name, rule in followed.items()):
        return _only_if(f"module.{field} is not None", statements)
    return statements


def _followed(rules: Mapping[str, SchemeRule], name: str) -> SchemeRule | None:
    """The rule that a module follows: the rule of the longest path around it."""
    while name and name not in rules:
        name = name.rpartition(".")[0]
    return rules.get(name)


def _chain(bodies: Mapping[str, list[str]]) -> list[str]:
    """An `if` chain over paths, longer paths first, with the statements for each."""
    alike: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for path in sorted(filter(None, bodies), key=_depth, reverse=True):
        alike.setdefault((_depth(path), tuple(bodies[path])), []).append(path)
    branches: list[str] = []
    for (_, body), paths in alike.items():
        branches += _under(paths, "elif" if branches else "if") + indented(body)
    general = bodies.get("", [])
    return [*branches, "else:", *indented(general)] if branches and general else branches or general


def _under(paths: Sequence[str], word: str) -> list[str]:
    """The condition that a module lies under one of some paths; places and paths end in a dot."""
    texts = tuple(place_literal(path) for path in paths)
    if len(texts) == 1:
        return [f"{word} place.startswith({texts[0]}):"]
    return lines(Bracketed(f"{word} place.startswith((", texts, ")):"), width=WIDTH - 2 * len(INDENT))


def _only_if(condition: str, body: Sequence[str]) -> list[str]:
    """`if condition` around a body; one combined test if the body is a single `if`."""
    first, *others = body
    both = f"if {condition} and {first.removeprefix('if ')}"
    if first.startswith("if ") and all(line.startswith(INDENT) for line in others) and len(both) <= WIDTH:
        return [both, *others]
    return [f"if {condition}:", *indented(body)]


def _depth(path: str) -> int:
    return len(path.split(".")) if path else 0


def _statements(field: str, rule: SchemeRule, target: str) -> list[str]:
    values = SCHEMES[rule.scheme] | dict(rule.arguments)
    weight = f"module.{field}"
    if rule.scheme.startswith("kaiming"):
        return _kaiming(weight, rule.scheme, values, "Conv" in target)
    if rule.scheme == "linear_uniform":
        return [f"bound = {weight}.size(0) ** -0.5", f"nn.init.uniform_({weight}, -bound, bound)"]
    if rule.scheme == "uniform":
        bound = literal(values["bound"])
        return [f"nn.init.uniform_({weight}, -{bound}, {bound})"]
    arguments = {"std": "std={}", "value": "{}"}
    texts = "".join(f", {arguments[name].format(literal(value))}" for name, value in values.items())
    return [f"nn.init.{rule.scheme}_({weight}{texts})"]


def _kaiming(weight: str, scheme: str, values: Mapping[str, Value], grouped: bool) -> list[str]:
    """He et al., ICCV 2015, Equations 10 and 14: variance gain / fan.

    `per_group` divides the outgoing connections by the groups, as timm does for EfficientNet and RegNet; torch
    divides the incoming ones only.
    """
    if not (values["per_group"] and grouped and values["fan"] == "fan_out"):
        mode = f', mode="{values["fan"]}"' if values["fan"] != "fan_in" else ""
        return [f'nn.init.{scheme}_({weight}{mode}, nonlinearity="{values["gain"]}")']
    gain = 2.0 if values["gain"] == "relu" else 1.0
    fan = f"fan_out = {weight}[:, 0].numel() // module.groups"
    if scheme == "kaiming_normal":
        return [fan, f"nn.init.normal_({weight}, std=({gain} / fan_out) ** 0.5)"]
    return [fan, f"bound = ({3 * gain} / fan_out) ** 0.5", f"nn.init.uniform_({weight}, -bound, bound)"]
