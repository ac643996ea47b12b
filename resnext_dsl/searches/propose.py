"""Proposes the next candidate of a search, always one that keeps the budgets, so that no trial is spent on another.

Optuna's samplers decide about one value after the other and know no budgets: what they propose is drawn again where it
does not do. `random` and the evolution of Real et al. go by the space itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.trials import VOID, candidate_of, is_feasible
from resnext_dsl.spaces.candidate import Candidate, text_of
from resnext_dsl.spaces.dimensions import Dimension
from resnext_dsl.spaces.space import Space

TRIES = {"nsga2": 40, "tpe": 8}
"""Proposals of a sampler, before a candidate is drawn evenly instead."""

KNOWN = 5
"""Proposals in a row that are known already, before one that is not is looked for."""

STOCK = 256
"""Candidates that are drawn evenly at a time."""

POPULATION, TOURNAMENT = 50, 10
"""The youngest trials that may be parents, and how many of them compete (Real et al., AAAI 2019, section 3)."""


class Proposal:
    """A candidate, as the parameters of a trial too, and what the sampler notes about it."""

    def __init__(self, candidate: Candidate, params: dict[str, Any], notes: dict[str, Any]) -> None:
        self.candidate = candidate
        self.params = params
        self.notes = notes


class Proposer:
    """Proposes candidates of a space.

    Attributes:
        distributions: Of each dimension, as Optuna has them.
    """

    def __init__(self, space: Space, plan: Plan, worker: int) -> None:
        self.space = space
        self.distributions = {dimension.name: distribution(dimension) for dimension in space.dimensions}
        self._budget = plan.budget or None
        self._rng = np.random.default_rng([plan.seed, worker])
        self._stock: list[Candidate] = []
        self._tries = TRIES.get(plan.sampler, 1)
        self._directions = plan.directions
        self._drawn: Callable[[list[FrozenTrial]], Proposal]
        seed = int(self._rng.integers(2**31))
        if plan.sampler == "random":
            self._drawn = lambda trials: self._even()
        elif plan.sampler == "regularized-evolution":
            self._drawn = self._evolved
        else:
            size = min(POPULATION, max(10, plan.trials // 5))
            self._sampler: BaseSampler = (
                NSGAIISampler(population_size=size, seed=seed) if plan.sampler == "nsga2" else TPESampler(seed=seed)
            )
            self._first = size if plan.sampler == "nsga2" else 10
            self._mirror = Mirror(self._sampler, plan.directions)
            self._drawn = self._sampled

    def propose(self, trials: list[FrozenTrial], known: set[Candidate]) -> Proposal | None:
        """A candidate that is not known yet; None where the space has none left."""
        proposal = None
        for _ in range(KNOWN):
            proposal = self._drawn(trials)
            if proposal.candidate not in known:
                return proposal
        return self._left(known)

    def _left(self, known: set[Candidate]) -> Proposal | None:
        """One that is left, where most are known."""
        sample = self.space.sample(len(known) + STOCK, int(self._rng.integers(2**63)), self._budget)
        return next((self._of(candidate) for candidate in sample if candidate not in known), None)

    def _of(self, candidate: Candidate, notes: dict[str, Any] | None = None) -> Proposal:
        return Proposal(candidate, params_of(self.space, candidate), notes or {})

    def _even(self) -> Proposal:
        if not self._stock:
            self._stock = self.space.sample(STOCK, int(self._rng.integers(2**63)), self._budget)[::-1]
        return self._of(self._stock.pop())

    def _evolved(self, trials: list[FrozenTrial]) -> Proposal:
        """A change of the best of some of the youngest, drawn at random (Real et al., Algorithm 1)."""
        done = [trial for trial in trials if trial.state is TrialState.COMPLETE][-POPULATION:]
        if len(done) < min(TOURNAMENT, POPULATION):
            return self._even()
        competing = [done[place] for place in self._rng.choice(len(done), min(TOURNAMENT, len(done)), replace=False)]
        best = front_of(competing, self._directions) or [min(competing, key=_violation)]
        parent = best[int(self._rng.integers(len(best)))]
        try:
            return self._of(
                self.space.mutate(self.space.candidate(candidate_of(parent) or {}), self._rng, self._budget)
            )
        except ArchError:
            return self._even()  # none of its neighbours will do

    # --- Optuna's samplers ---

    def _sampled(self, trials: list[FrozenTrial]) -> Proposal:
        done = self._mirror.update(trials)
        with self._mirror.draft() as draft:
            for _ in range(self._tries):
                values = draft.related()
                if not values and done < self._first:
                    break  # to begin with, samplers draw at random: evenly is better
                candidate = self._completed(draft, values)
                if candidate is not None:
                    return self._of(candidate, draft.notes)
            even = self._even()
            return Proposal(even.candidate, even.params, draft.notes)

    def _completed(self, draft: Draft, values: dict[str, Any]) -> Candidate | None:
        """The candidate of a sampler's values, the missing ones asked for; None where it does not keep the budgets."""
        layout = self.space.layout
        places = []
        for dimension in layout.dimensions:
            name = dimension.name
            value = values.get(name)
            if value is None:
                value = draft.independent(name, self.distributions[name])
            places.append(
                np.array([_place(dimension, value)], dtype=np.float64 if dimension.size is None else np.int64)
            )
        settled = layout.settled(places)
        if not self.space.screen(self._budget).judge(settled).kept[0]:
            return None
        return self.space.candidates_of(settled, 1)[0]


class Mirror:
    """A study in memory, for a sampler: it knows the results, and trials that never come about are drafted there."""

    def __init__(self, sampler: BaseSampler, directions: list[str]) -> None:
        self.sampler = sampler
        self.study = optuna.create_study(
            sampler=sampler, directions=[StudyDirection[one.upper()] for one in directions]
        )
        self._known: set[int] = set()
        self._done = 0

    def update(self, trials: list[FrozenTrial]) -> int:
        """Adds what has ended since; gives how many have a result."""
        for trial in trials:
            ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and VOID not in trial.user_attrs
            if ended and trial.number not in self._known:
                self._known.add(trial.number)
                self._done += trial.state is TrialState.COMPLETE
                self.study.add_trial(trial)
        return self._done

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A trial for the sampler; it has failed at the end of the block, so that samplers leave it aside."""
        trial = self.study.ask()
        try:
            yield Draft(self, trial.number)
        finally:
            self.study.tell(trial, state=TrialState.FAIL)


class Draft:
    """A trial that a sampler may be asked about more than once."""

    def __init__(self, mirror: Mirror, number: int) -> None:
        self._study = mirror.study
        self._sampler = mirror.sampler
        self._number = number

    @property
    def _trial(self) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._number]

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler has noted about it."""
        return dict(self._trial.system_attrs)

    def related(self) -> dict[str, Any]:
        """Values that the sampler draws together; they may be some or none."""
        space = self._sampler.infer_relative_search_space(self._study, self._trial)
        return self._sampler.sample_relative(self._study, self._trial, space)

    def independent(self, name: str, distribution: BaseDistribution) -> Any:
        """The value that the sampler draws for a parameter alone."""
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna calls a dimension."""
    domain = dimension.domain
    if not dimension.ordered:
        return CategoricalDistribution([_choice(value) for value in domain.values])
    if dimension.size is None:
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if dimension.kind == "int" and not domain.log:
        step = 1 if domain.step is None else domain.step
        return IntDistribution(domain.low, domain.low + (dimension.size - 1) * step, step=step)
    if dimension.kind == "int":
        return IntDistribution(domain.low, domain.high, log=True)
    return FloatDistribution(domain.low, domain.value_at(dimension.size - 1), step=domain.step)


def _choice(value: Any) -> Any:
    """A value of a set as Optuna and JSON take it."""
    return value if isinstance(value, bool | int | float) else str(value) if isinstance(value, str) else text_of(value)


def _place(dimension: Dimension, value: Any) -> float:
    """The place of a sampler's value; of floats with a step the nearest, since they may differ in the last digit."""
    if not dimension.ordered:
        choices = [_choice(option) for option in dimension.domain.values]
        return next(n for n, choice in enumerate(choices) if type(choice) is type(value) and choice == value)
    if dimension.size is None:
        return float(value)
    step = 1 if dimension.domain.step is None else dimension.domain.step
    place = round((value - dimension.domain.low) / step)
    return float(min(max(place, 0), dimension.size - 1))


def params_of(space: Space, candidate: Candidate) -> dict[str, Any]:
    """A candidate as the parameters of a trial: one for each dimension that is there."""
    params: dict[str, Any] = {}
    for dimension in space.dimensions:
        if dimension.parameter in candidate:
            value = candidate[dimension.parameter]
            value = value if dimension.element is None else value[dimension.element]
            params[dimension.name] = value if dimension.ordered else _choice(value)
    return params


def _violation(trial: FrozenTrial) -> float:
    return sum(max(value, 0.0) for value in trial.constraints.values())


def front_of(trials: list[FrozenTrial], directions: Any) -> list[FrozenTrial]:
    """Those of finished trials that keep every constraint and than which no other such is better in everything."""
    trials = [trial for trial in trials if is_feasible(trial)]
    signs = [-1 if "MAXIMIZE" in str(direction).upper() else 1 for direction in directions]
    rows = [tuple(sign * value for sign, value in zip(signs, trial.values, strict=True)) for trial in trials]
    return [
        trial
        for trial, row in zip(trials, rows, strict=True)
        if not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)
    ]
