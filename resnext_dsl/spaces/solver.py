"""Finds values of parameters, within their domains, that match the cost of another network or meet bounds.

It computes the cost of every combination of the domains, so an answer is optimal, and "none" is a proof.
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
from resnext_dsl.spaces.candidate import override_of, plain
from resnext_dsl.spaces.screen import Screen
from resnext_dsl.spaces.space import Space
from resnext_dsl.spaces.varied_grid import VariedGrid

CHUNK = 1 << 20
"""Combinations in one batch."""

MOST = 50_000_000
"""Most combinations of one call: about twenty seconds of work."""


class MatchTarget(NamedTuple):
    """A measure that should be as near to a number as possible."""

    measure: str
    target: int


class UpperBound(NamedTuple):
    """An upper bound on a measure."""

    measure: str
    most: float


class Solution(NamedTuple):
    """A combination of values with the cost of its network.

    Attributes:
        values: The values by parameter, as a `Candidate` has them; an element of a list is named `depths[2]`.
        differences: For each `MatchTarget`, the measure minus the target.
    """

    values: dict[str, Any]
    params: int
    flops: int
    macs: int
    activations: int
    differences: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The values and the costs in one JSON object."""
        return self.values | {measure: getattr(self, measure) for measure in COST_MEASURES}


class Answer(NamedTuple):
    """The answer of `solve`.

    Attributes:
        solutions: The best solution first. For several objectives, the Pareto front, ordered by the first objective.
        front: Whether `solutions` is a Pareto front.
        candidates: The number of combinations of the domains.
        valid: The number of valid combinations.
        met: The number of valid combinations that meet every bound.
        least: For each bounded measure, its least value over the valid combinations.
    """

    solutions: tuple[Solution, ...]
    front: bool
    candidates: int
    valid: int
    met: int
    least: dict[str, int]


class _Best(NamedTuple):
    """The best combinations so far, one row each: indices in the domains, objectives and costs."""

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
    budget: Sequence[str] = (),
) -> Answer:
    """The best combinations of values.

    Args:
        space: The space. Parameters that do not vary keep their values.
        vary: Parameters with their domains; an element of a list is named `depths[2]`.
        match: Targets for measures; each distance to a target is an objective.
        under: Upper bounds. If there is no other objective, each bounded measure is maximized within its bound.
        minimize: Measures or varied parameters to minimize; each is an objective.
        maximize: Measures or varied parameters to maximize; each is an objective.
        within: The largest distance to a target, as a share of the target; no bound if None.
        count: The number of solutions for a single objective.
        budget: Names of the budgets of the file to meet. If none is named, a search without a target meets all of them,
            and one with a target meets none: a target is the cost of another network. Latencies are not measured.

    Raises:
        ArchError: E205 if a domain is infinite, E405 if the domains have too many combinations, E202 if there is no
            objective. E201 for an unknown parameter, E208 for an unknown measure, E101 for an unknown budget.
    """
    limits = space.network.limits_of(budget) if budget or not match else ()
    _check(space, vary, [*(m.measure for m in match), *(b.measure for b in under)], (*minimize, *maximize))
    if not (match or under or minimize or maximize):
        file = space.network.source.name
        raise error(
            "E202",
            "no objective is given",
            file=file,
            hint="give a match, a bound, or a measure to minimize or maximize",
        )
    domains = {name: domain.elements() for name, domain in vary.items()}
    total = math.prod(map(len, domains.values()))
    objectives = _objectives(match, under, minimize, maximize)
    grid = VariedGrid(space, vary)
    screen = Screen(grid, [(space.network.limits.index(limit), limit) for limit in limits])
    best, valid, met = _Best(*(np.zeros((0, n), dtype=np.int64) for n in (len(vary), 0, 4))), 0, 0
    least: dict[str, int] = {}
    for start in range(0, total, CHUNK):
        places = np.array(np.unravel_index(np.arange(start, min(start + CHUNK, total)), _sizes(domains))).T
        columns = _columns(space, domains, places)
        cost = space.cost(columns)
        kept = cost.valid & _kept(cost, match, under, within)
        if screen.limits:
            kept &= grid.meets(screen, places)
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
            raise error("E205", f"the domain {domain} of `{name}` is infinite", _span(name, domain), hint=hint)
        sizes *= domain.size
    if sizes > MOST:
        message = f"the domains have {sizes:,} combinations; at most {MOST:,} are allowed"
        raise error(
            "E405",
            message,
            override_source("domains", ", ".join(vary)),
            hint="vary fewer parameters, or give their domains a step",
        )


def _span(name: str, domain: Domain) -> Any:
    return override_source(name, str(domain))


def _check_element(space: Space, parameter: str, element: int, name: str) -> None:
    value = space.network.parameters[parameter].value
    if not isinstance(value, tuple):
        raise error("E204", f"`{parameter}` is not a list", override_source(name, name))
    if element >= len(value):
        length = f"`{parameter}` has {len(value)} elements, counted from 0"
        raise error("E205", f"index {element} is out of range: {length}", override_source(name, name))


def element_of(name: str) -> tuple[str, int | None]:
    """The parameter and the index in `depths[2]`; the index is None for a parameter as a whole."""
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
    objectives = [_distance(goal) for goal in match]
    objectives += [_value(name, 1) for name in minimize] + [_value(name, -1) for name in maximize]
    return objectives or [_value(measure, -1) for measure in dict.fromkeys(bound.measure for bound in under)]


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
    elements: dict[str, list[Array]] = {}
    for axis, (name, values) in enumerate(domains.items()):
        parameter, element = element_of(name)
        if element is None:
            columns[name] = _taken(values, places[:, axis])
            continue
        default = space.network.parameters[parameter].value
        column = elements.setdefault(parameter, [np.full(len(places), item) for item in default])
        column[element] = np.array(values)[places[:, axis]]
    return columns | {name: _lists(parts) for name, parts in elements.items()}


def _lists(parts: list[Array]) -> Any:
    """A column of lists from the columns of their elements; a matrix would turn an int beside a float into a float."""
    kinds = {part.dtype.kind for part in parts}
    if len(kinds) == 1 and kinds <= set("ifb"):
        return np.stack(parts, axis=1)
    return [list(row) for row in zip(*(part.tolist() for part in parts), strict=True)]


def _taken(values: Sequence[Any], places: Array) -> Any:
    array = np.array(values) if all(isinstance(value, int | float) for value in values) else None
    if array is not None and array.dtype.kind in "ifb":
        return array[places]
    texts = [value if isinstance(value, tuple) else override_of(plain(value)) for value in values]
    return [texts[place] for place in places]


# --- the best ---


def _better(kept: _Best, batch: _Best, count: int) -> _Best:
    """The best of two sets: the first `count` for one objective, the Pareto front for several."""
    if not kept.objectives.shape[1]:
        both = batch
    else:
        both = _Best(*(np.concatenate(pair) for pair in zip(kept, batch, strict=True)))
    if not len(both.places):
        return both
    # The order of equals: fewer FLOPs first, then fewer parameters.
    order = np.lexsort((both.costs[:, 0], both.costs[:, 1], *both.objectives.T[::-1]))
    order = order[:count] if both.objectives.shape[1] == 1 else order[_front(both.objectives[order])]
    return _Best(*(rows[order] for rows in both))


def _front(objectives: Array) -> Array:
    """The indices of the rows on the Pareto front; the rows are sorted by their first number, then the next."""
    front: list[int] = []
    rest = np.arange(len(objectives))
    while len(rest):
        first = rest[0]
        front.append(int(first))
        # No later row dominates the first remaining row. The rows that it dominates are removed.
        rest = rest[(objectives[rest] < objectives[first]).any(axis=1)]
    return np.array(front, dtype=np.int64)


def _solutions(best: _Best, domains: Mapping[str, Sequence[Any]], match: Sequence[MatchTarget]) -> tuple[Solution, ...]:
    solutions = []
    for place, cost in zip(best.places.tolist(), best.costs.tolist(), strict=True):
        values = {name: plain(values[at]) for (name, values), at in zip(domains.items(), place, strict=True)}
        params, flops, macs, activations = cost
        differences = tuple(cost[COST_MEASURES.index(goal.measure)] - goal.target for goal in match)
        solutions.append(Solution(values, params, flops, macs, activations, differences))
    return tuple(solutions)


def nothing(space: Space, answer: Answer) -> RequirementError:
    """The error that no combination meets the bounds."""
    reasons = []
    if answer.candidates > answer.valid:
        reasons.append(f"{answer.candidates - answer.valid:,} are not valid")
    if answer.valid > answer.met:
        reasons.append(f"{answer.valid - answer.met:,} break a bound")
    message = f"none of {answer.candidates:,} combinations meets the bounds: {', '.join(reasons)}"
    least = ", ".join(f"the least {measure} is {value:,}" for measure, value in answer.least.items())
    return RequirementError([Diagnostic("E604", message, None, hint=least, file=space.network.source.name)])
