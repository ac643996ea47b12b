"""Finds the values of parameters that match the cost of another network, or use a bound up, within their domains.

Every combination of the domains is priced in closed form, so an answer is the best there is, and "none" is a proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.lanes import Array
from resnext_dsl.columns.price import CostColumns
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import Diagnostic, RequirementError, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.spaces.space import Space

CHUNK = 1 << 20
"""Combinations priced at a time."""

MOST = 50_000_000
"""Combinations that are gone through, at most: some twenty seconds."""


class MatchTarget(NamedTuple):
    """A measure that should come as near to a number as it can."""

    measure: str
    target: int


class UpperBound(NamedTuple):
    """A measure that must be at most a number."""

    measure: str
    most: float


class Solution(NamedTuple):
    """A combination of values, and what its network costs.

    Attributes:
        values: By parameter; an element of a list as `depths[2]`.
        differences: For each `MatchTarget`, the measure less the target.
    """

    values: dict[str, Any]
    params: int
    flops: int
    macs: int
    activations: int
    differences: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The values and the figures, side by side."""
        return self.values | {measure: getattr(self, measure) for measure in COST_MEASURES}


class Answer(NamedTuple):
    """What a search through domains has found.

    Attributes:
        solutions: The best first; of several objectives the Pareto set, ordered by the first of them.
        front: Whether `solutions` is a Pareto set.
        candidates: Combinations of the domains.
        valid: Those that are networks.
        met: Those that keep every bound too.
        least: Of each bounded measure the least that any of them has.
    """

    solutions: tuple[Solution, ...]
    front: bool
    candidates: int
    valid: int
    met: int
    least: dict[str, int]


class _Best(NamedTuple):
    """Combinations kept: their places in the domains, and their objectives and costs, a row each."""

    places: Array
    objectives: Array
    costs: Array


def solve(
    space: Space,
    vary: Mapping[str, Domain],
    match: Sequence[MatchTarget] = (),
    under: Sequence[UpperBound] = (),
    minimize: Sequence[str] = (),
    maximize: Sequence[str] = (),
    within: float | None = None,
    count: int = 5,
) -> Answer:
    """The best combinations of values.

    Args:
        space: The parameters; those that do not vary keep their values.
        vary: Parameters with their domains; an element of a list as `depths[2]`.
        match: Measures to come near to: each is an objective.
        under: Upper bounds. Where nothing else is asked for, to use each of them up is an objective.
        minimize: Measures or varied parameters that should be small, each an objective.
        maximize: Measures or varied parameters that should be large, each an objective.
        within: The most that a matched measure may differ, as a share of its target.
        count: How many solutions to give, where there is one objective.

    Raises:
        ArchError: E205 where a domain has no end or their combinations are too many, E101 for an unknown parameter,
            E208 for an unknown measure, E202 where nothing is asked for.
    """
    _check(space, vary, [*(m.measure for m in match), *(b.measure for b in under)], (*minimize, *maximize))
    if not (match or under or minimize or maximize):
        file = space.network.source.name
        raise error("E202", "nothing is asked for", file=file, hint="give a match, a bound, or what should be small")
    domains = {name: domain.elements() for name, domain in vary.items()}
    total = math.prod(map(len, domains.values()))
    objectives = _objectives(match, under, minimize, maximize)
    best, valid, met = _Best(*(np.zeros((0, n), dtype=np.int64) for n in (len(vary), 0, 4))), 0, 0
    least: dict[str, int] = {}
    for start in range(0, total, CHUNK):
        places = np.array(np.unravel_index(np.arange(start, min(start + CHUNK, total)), _sizes(domains))).T
        columns = _columns(space, domains, places)
        cost = space.cost(columns)
        kept = cost.valid & _kept(cost, match, under, within)
        if cost.valid.any():
            for bound in under:
                lowest = int(getattr(cost, bound.measure)[cost.valid].min())
                least[bound.measure] = min(lowest, least.get(bound.measure, lowest))
        valid, met = valid + int(cost.valid.sum()), met + int(kept.sum())
        scores = np.stack([score(cost, domains, places) for score in objectives], axis=1)[kept]
        costs = np.stack([getattr(cost, measure) for measure in COST_MEASURES], axis=1)[kept]
        best = _better(best, _Best(places[kept], scores, costs), count)
    return Answer(_solutions(best, domains, match), len(objectives) > 1, total, valid, met, least)


def _check(space: Space, vary: Mapping[str, Domain], measures: Sequence[str], wanted: Sequence[str]) -> None:
    for measure in measures:
        if measure not in COST_MEASURES:
            hint = f"measures: {', '.join(COST_MEASURES)}"
            raise error("E208", f"unknown measure `{measure}`", override_source("measure", measure), hint=hint)
    for name in wanted:
        if name not in COST_MEASURES and name not in vary:
            hint = f"measures: {', '.join(COST_MEASURES)}; or one of the parameters that vary"
            raise error("E208", f"unknown measure `{name}`", override_source("measure", name), hint=hint)
    sizes = 1
    for name, domain in vary.items():
        parameter, element = element_of(name)
        space.known(parameter, name)
        if element is not None:
            _check_element(space, parameter, element, name)
        if domain.size is None:
            hint = f"give it a step: {domain} step ..."
            raise error("E205", f"the domain {domain} of `{name}` has no end of values", _span(name, domain), hint=hint)
        sizes *= domain.size
    if sizes > MOST:
        message = f"the domains have {sizes:,} combinations; at most {MOST:,} are gone through"
        raise error("E405", message, override_source("domains", ", ".join(vary)), hint="vary less, or in steps")


def _span(name: str, domain: Domain) -> Any:
    return override_source(name, str(domain))


def _check_element(space: Space, parameter: str, element: int, name: str) -> None:
    value = space.network.parameters[parameter].value
    if not isinstance(value, tuple):
        raise error("E204", f"`{parameter}` is no list, so it has no elements", override_source(name, name))
    if element >= len(value):
        found = f"`{parameter}` has {len(value)} elements, counted from 0"
        raise error("E205", f"index {element} is out of range: {found}", override_source(name, name))


def element_of(name: str) -> tuple[str, int | None]:
    """The parameter of `depths[2]`, and the place of the element; None for a parameter as a whole."""
    parameter, bracket, rest = name.partition("[")
    digits = rest.removesuffix("]")
    if bracket and rest.endswith("]") and digits.isdecimal() and digits.isascii() and len(digits) < 6:
        return parameter, int(digits)
    return name, None


# --- objectives: the smaller the better ---

Score = Callable[[CostColumns, Mapping[str, Sequence[Any]], Array], Array]


def _objectives(
    match: Sequence[MatchTarget], under: Sequence[UpperBound], minimize: Sequence[str], maximize: Sequence[str]
) -> list[Score]:
    found = [_distance(goal) for goal in match]
    found += [_value(name, 1) for name in minimize] + [_value(name, -1) for name in maximize]
    return found or [_value(bound.measure, -1) for bound in under]


def _distance(goal: MatchTarget) -> Score:
    return lambda cost, domains, places: np.abs(getattr(cost, goal.measure) - goal.target)


def _value(name: str, sign: int) -> Score:
    def score(cost: CostColumns, domains: Mapping[str, Sequence[Any]], places: Array) -> Array:
        if name in COST_MEASURES:
            return np.asarray(sign * getattr(cost, name))
        return sign * np.asarray(domains[name])[places[:, list(domains).index(name)]]

    return score


def _kept(cost: CostColumns, match: Sequence[MatchTarget], under: Sequence[UpperBound], within: float | None) -> Array:
    kept = np.ones(len(cost.valid), dtype=bool)
    for bound in under:
        kept &= getattr(cost, bound.measure) <= bound.most
    for goal in match if within is not None else ():
        kept &= np.abs(getattr(cost, goal.measure) - goal.target) <= within * goal.target  # type: ignore[operator]
    return kept


# --- candidates ---


def _sizes(domains: Mapping[str, Sequence[Any]]) -> tuple[int, ...]:
    return tuple(map(len, domains.values()))


def _columns(space: Space, domains: Mapping[str, Sequence[Any]], places: Array) -> dict[str, Any]:
    """The columns of combinations of values."""
    columns: dict[str, Any] = {}
    for axis, (name, values) in enumerate(domains.items()):
        parameter, element = element_of(name)
        if element is None:
            columns[name] = _taken(values, places[:, axis])
            continue
        if parameter not in columns:
            own = space.network.parameters[parameter].value
            columns[parameter] = np.tile(np.array(own, dtype=np.int64), (len(places), 1))
        columns[parameter][:, element] = np.array(values, dtype=np.int64)[places[:, axis]]
    return columns


def _taken(values: Sequence[Any], places: Array) -> Any:
    array = np.array(values) if all(isinstance(value, int | float) for value in values) else None
    if array is not None and array.dtype.kind in "ifb":
        return array[places]
    return [values[place] for place in places]


# --- the best ---


def _better(kept: _Best, found: _Best, count: int) -> _Best:
    """The best of two sets: `count` of them by one objective, or the Pareto set of several."""
    if not kept.objectives.shape[1]:
        both = found
    else:
        both = _Best(*(np.concatenate(pair) for pair in zip(kept, found, strict=True)))
    if not len(both.places):
        return both
    # Among equals the cheaper one, by FLOPs and then by parameters.
    order = np.lexsort((both.costs[:, 0], both.costs[:, 1], *both.objectives.T[::-1]))
    order = order[:count] if both.objectives.shape[1] == 1 else order[_front(both.objectives[order])]
    return _Best(*(rows[order] for rows in both))


def _front(objectives: Array) -> Array:
    """The places of rows that no other row is better than; the rows are sorted by their first number, then the next."""
    front: list[int] = []
    rest = np.arange(len(objectives))
    while len(rest):
        first = rest[0]
        front.append(int(first))
        # Nothing that comes later is better than the first row left, and what that is better than goes.
        rest = rest[(objectives[rest] < objectives[first]).any(axis=1)]
    return np.array(front, dtype=np.int64)


def _solutions(best: _Best, domains: Mapping[str, Sequence[Any]], match: Sequence[MatchTarget]) -> tuple[Solution, ...]:
    found = []
    for place, cost in zip(best.places.tolist(), best.costs.tolist(), strict=True):
        values = {name: values[at] for (name, values), at in zip(domains.items(), place, strict=True)}
        params, flops, macs, activations = cost
        differences = tuple(cost[COST_MEASURES.index(goal.measure)] - goal.target for goal in match)
        found.append(Solution(values, params, flops, macs, activations, differences))
    return tuple(found)


def nothing(space: Space, answer: Answer) -> RequirementError:
    """The error that says that no combination will do."""
    reasons = []
    if answer.candidates > answer.valid:
        reasons.append(f"{answer.candidates - answer.valid:,} are no networks")
    if answer.valid > answer.met:
        reasons.append(f"{answer.valid - answer.met:,} do not keep the bounds")
    message = f"none of {answer.candidates:,} combinations will do: {', '.join(reasons)}"
    least = ", ".join(f"the least {measure} is {value:,}" for measure, value in answer.least.items())
    return RequirementError([Diagnostic("E604", message, None, hint=least, file=space.network.source.name)])
