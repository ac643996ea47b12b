"""How the weights of emitted modules start: `init_weights` from the rules of a spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from resnext_dsl.emit.blocks import Value
from resnext_dsl.emit.layout import indented
from resnext_dsl.emit.levels import Levels
from resnext_dsl.emit.names import literal
from resnext_dsl.initialization import FIELDS, applies
from resnext_dsl.operators import Module


class Rule(Protocol):
    """What an init rule says; `InitRule` and the binder's own rules do."""

    @property
    def operator(self) -> str:
        """Name of its row in the operator table."""

    @property
    def field(self) -> str:
        """`weight` or `bias`."""

    @property
    def scheme(self) -> str:
        """A key of `SCHEMES`."""

    @property
    def arguments(self) -> tuple[tuple[str, Value], ...]:
        """Of the scheme, by name."""


@dataclass(frozen=True, slots=True)
class InitRule:
    """How one field of one operator's modules starts.

    Attributes:
        operator: Name of its row in the operator table.
        field: "weight" or "bias".
        scheme: A key of `SCHEMES`.
        arguments: Of the scheme, by name; those left out have the scheme's defaults.
    """

    operator: str
    field: str
    scheme: str
    arguments: tuple[tuple[str, Value], ...] = ()


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


def init_weights(levels: Levels, rules: Sequence[Rule]) -> list[str]:
    """The method `init_weights`; no lines where no rule concerns a module of the graph.

    Raises:
        ValueError: For a rule that no module can follow.
    """
    for rule in rules:
        if not applies(rule.operator, rule.field, rule.scheme):
            raise ValueError(f"`{rule.operator}.{rule.field}` cannot start as `{rule.scheme}`")
    targets = _targets(levels)
    branches: dict[str, list[Rule]] = {}
    for rule in rules:
        for target in targets.get(rule.operator, {}):
            branches.setdefault(target, []).append(rule)
    if not branches:
        return []
    alike: dict[tuple[str, ...], list[str]] = {}
    for target, own in branches.items():
        body: list[str] = []
        for field, rule in {rule.field: rule for rule in own}.items():
            body += _guarded(field, _statements(field, rule, target), targets[rule.operator][target])
        alike.setdefault(tuple(body), []).append(target)
    return [
        "def init_weights(self, root: nn.Module | None = None) -> None:",
        '    """Initialise the weights: all, or those of `root`."""',
        "    for module in (self if root is None else root).modules():",
        *indented(_branches(alike), 2),
    ]


def _branches(alike: Mapping[tuple[str, ...], list[str]]) -> list[str]:
    lines: list[str] = []
    for body, targets in alike.items():
        kinds = targets[0] if len(targets) == 1 else f"({', '.join(targets)})"
        lines += [f"{'el' if lines else ''}if isinstance(module, {kinds}):", *indented(body)]
    return lines


def _targets(levels: Levels) -> dict[str, dict[str, set[str]]]:
    """Operator -> class -> fields that all modules have."""
    found: dict[str, dict[str, set[str]]] = {}
    operators = {id(source): node.operator for node, source in zip(levels.graph.nodes, levels.sources, strict=True)}
    for source in {id(source): source for source in levels.sources}.values():
        operator = operators[id(source)]
        if isinstance(source, Module) and operator in FIELDS:
            fields = set(FIELDS[operator]) - _missing(dict(source.keywords))
            found.setdefault(operator, {}).setdefault(source.target, set(fields)).intersection_update(fields)
    return found


def _missing(keywords: Mapping[str, Value]) -> set[str]:
    if not keywords.get("affine", keywords.get("elementwise_affine", True)):
        return {"weight", "bias"}
    return {"bias"} if keywords.get("bias") is False else set()


def _guarded(field: str, statements: list[str], present: set[str]) -> list[str]:
    if field in present:
        return statements
    return [f"if module.{field} is not None:", *indented(statements)]


def _statements(field: str, rule: Rule, target: str) -> list[str]:
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
    given = "".join(f", {arguments[name].format(literal(value))}" for name, value in values.items())
    return [f"nn.init.{rule.scheme}_({weight}{given})"]


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
