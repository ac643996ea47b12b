"""Proposes the next candidate of a search. Every proposal meets the budgets, so no trial is wasted.

Optuna's samplers draw one value after the other and do not know the budgets. If their proposal misses a budget, they
draw again. `random` and the evolution of Real et al. sample from the space itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.networks.network import Network
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.trials import VOID, Proposed, candidate_of, is_feasible
from resnext_dsl.spaces.candidate import Candidate, text_of
from resnext_dsl.spaces.dimensions import Dimension
from resnext_dsl.spaces.space import Space

TRIES = {"nsga2": 40, "tpe": 8}
"""Most proposals of a sampler before a candidate is drawn uniformly instead."""

KNOWN = 5
"""Known proposals in a row, before the space is sampled for an unknown candidate."""

STOCK = 256
"""Candidates per uniform draw."""

POPULATION, TOURNAMENT = 50, 10
"""Sizes of the population (the youngest trials) and of a tournament (Real et al., AAAI 2019, section 3)."""


class Proposal:
    """A candidate, its parameters by the names of their dimensions, and the attributes that the sampler stores."""

    def __init__(self, candidate: Candidate, params: dict[str, Any], notes: dict[str, Any]) -> None:
        self.candidate = candidate
        self.params = params
        self.notes = notes


class Proposer:
    """Proposes candidates of a space.

    Attributes:
        distributions: Optuna's distribution of each dimension, by its name.
    """

    def __init__(self, space: Space, plan: Plan, worker: int) -> None:
        self.space = space
        self.distributions = {dimension.name: distribution(dimension) for dimension in space.dimensions}
        self._budget = plan.budget or None
        self._rng = np.random.default_rng([plan.seed, worker, *plan.stream])
        self._stock: list[Candidate] = []
        self._names: dict[str, str] | None = None
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
            self._mirror = Mirror(self._sampler, plan.directions, self._in_space)
            self._drawn = self._sampled

    def propose(self, trials: list[FrozenTrial], known: set[Candidate]) -> Proposal | None:
        """A candidate that is not known yet; None if the space has none left."""
        proposal = None
        for _ in range(KNOWN):
            proposal = self._drawn(trials)
            if proposal.candidate not in known:
                return proposal
        return self._left(known)

    def proposed(
        self, proposal: Proposal, key: str, network: Network, device: str, trials: Sequence[FrozenTrial]
    ) -> Proposed:
        """The trial of a proposal.

        Args:
            proposal: The proposal.
            key: The key of its architecture.
            network: Its network.
            device: The usual device of an evaluation.
            trials: The trials of the study.
        """
        if self._names is None:
            self._names = stored_names(self.distributions, trials)
        names = self._names
        params = {names[name]: value for name, value in proposal.params.items()}
        distributions = {names[name]: self.distributions[name] for name in proposal.params}
        cost = {measure: getattr(network.cost(), measure) for measure in COST_MEASURES}
        architecture = {"candidate": proposal.candidate.to_json(), "key": key, "cost": cost, "device": device}
        return Proposed(params, distributions, architecture, proposal.notes)

    def _in_space(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial with the parameters of this space; its study may have had narrower domains before."""
        if all(self.distributions.get(name) == known for name, known in trial.distributions.items()):
            return trial
        params = params_of(self.space, self.space.candidate(candidate_of(trial) or {}))
        return create_trial(
            state=trial.state,
            values=trial.values,
            params=params,
            distributions={name: self.distributions[name] for name in params},
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )

    def _left(self, known: set[Candidate]) -> Proposal | None:
        """An unknown candidate when most are known; None if the sample has none."""
        sample = self.space.sample(len(known) + STOCK, int(self._rng.integers(2**63)), self._budget)
        return next((self._proposal(candidate) for candidate in sample if candidate not in known), None)

    def _proposal(self, candidate: Candidate, notes: dict[str, Any] | None = None) -> Proposal:
        return Proposal(candidate, params_of(self.space, candidate), notes or {})

    def _even(self) -> Proposal:
        if not self._stock:
            self._stock = self.space.sample(STOCK, int(self._rng.integers(2**63)), self._budget)[::-1]
        return self._proposal(self._stock.pop())

    def _evolved(self, trials: list[FrozenTrial]) -> Proposal:
        """A mutation of the best of a random tournament among the youngest trials (Real et al., Algorithm 1)."""
        done = [trial for trial in trials if trial.state is TrialState.COMPLETE][-POPULATION:]
        if len(done) < min(TOURNAMENT, POPULATION):
            return self._even()
        competing = [done[place] for place in self._rng.choice(len(done), min(TOURNAMENT, len(done)), replace=False)]
        best = front_of(competing, self._directions) or [min(competing, key=_violation)]
        parent = best[int(self._rng.integers(len(best)))]
        try:
            return self._proposal(
                self.space.mutate(self.space.candidate(candidate_of(parent) or {}), self._rng, self._budget)
            )
        except ArchError:
            return self._even()  # none of its neighbours is valid

    # --- Optuna's samplers ---

    def _sampled(self, trials: list[FrozenTrial]) -> Proposal:
        done = self._mirror.update(trials)
        with self._mirror.draft() as draft:
            for _ in range(self._tries):
                values = draft.related()
                if not values and done < self._first:
                    break  # a sampler starts with independent random values; a uniform draw is better
                candidate = self._completed(draft, values)
                if candidate is not None:
                    return self._proposal(candidate, draft.notes)
            even = self._even()
            return Proposal(even.candidate, even.params, draft.notes)

    def _completed(self, draft: Draft, values: dict[str, Any]) -> Candidate | None:
        """The candidate with a sampler's values; the sampler draws missing ones. None if it misses a budget."""
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
    """A study in memory, for a sampler: it has the results, and drafts of trials that may be discarded."""

    def __init__(
        self, sampler: BaseSampler, directions: list[str], in_space: Callable[[FrozenTrial], FrozenTrial]
    ) -> None:
        self.sampler = sampler
        self._in_space = in_space
        self.study = optuna.create_study(
            sampler=sampler, directions=[StudyDirection[one.upper()] for one in directions]
        )
        self._known: set[int] = set()
        self._done = 0

    def update(self, trials: list[FrozenTrial]) -> int:
        """Adds the trials that have ended since the last call. Returns the number of results."""
        for trial in trials:
            ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and VOID not in trial.user_attrs
            if ended and trial.number not in self._known:
                self._known.add(trial.number)
                self._done += trial.state is TrialState.COMPLETE
                self.study.add_trial(self._in_space(trial))
        return self._done

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A trial for the sampler. It fails at the end of the block, so that samplers ignore it."""
        trial = self.study.ask()
        try:
            yield Draft(self, trial.number)
        finally:
            self.study.tell(trial, state=TrialState.FAIL)


class Draft:
    """A trial for which a sampler can draw values more than once."""

    def __init__(self, mirror: Mirror, number: int) -> None:
        self._study = mirror.study
        self._sampler = mirror.sampler
        self._number = number

    @property
    def _trial(self) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._number]

    @property
    def notes(self) -> dict[str, Any]:
        """The attributes that the sampler has stored."""
        return dict(self._trial.system_attrs)

    def related(self) -> dict[str, Any]:
        """The values that the sampler draws jointly: for all parameters, some or none."""
        space = self._sampler.infer_relative_search_space(self._study, self._trial)
        return self._sampler.sample_relative(self._study, self._trial, space)

    def independent(self, name: str, distribution: BaseDistribution) -> Any:
        """The value that the sampler draws for a parameter alone."""
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)


def distribution(dimension: Dimension) -> BaseDistribution:
    """Optuna's distribution of a dimension."""
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


def stored_names(distributions: Mapping[str, BaseDistribution], trials: Sequence[FrozenTrial]) -> dict[str, str]:
    """The name of each parameter in a study.

    Optuna does not store two sets of choices under one name. If the set of a dimension has changed, its parameter has
    another name from then on: `act (2)`.
    """
    known: dict[str, BaseDistribution] = {}
    for trial in trials:
        known |= trial.distributions
    names = {}
    for name, wanted in distributions.items():
        tries = (name if number == 1 else f"{name} ({number})" for number in itertools.count(1))
        names[name] = next(tried for tried in tries if tried not in known or _is_compatible(known[tried], wanted))
    return names


def _is_compatible(known: BaseDistribution, wanted: BaseDistribution) -> bool:
    try:
        check_distribution_compatibility(known, wanted)
    except ValueError:
        return False
    return True


def _choice(value: Any) -> Any:
    """A value of a set, in a type that Optuna and JSON accept."""
    return value if isinstance(value, bool | int | float) else str(value) if isinstance(value, str) else text_of(value)


def _place(dimension: Dimension, value: Any) -> float:
    """The index of a sampler's value. For floats with a step, the nearest index: they may differ in the last digit."""
    if not dimension.ordered:
        choices = [_choice(option) for option in dimension.domain.values]
        return next(n for n, choice in enumerate(choices) if type(choice) is type(value) and choice == value)
    if dimension.size is None:
        return float(value)
    step = 1 if dimension.domain.step is None else dimension.domain.step
    place = round((value - dimension.domain.low) / step)
    return float(min(max(place, 0), dimension.size - 1))


def params_of(space: Space, candidate: Candidate) -> dict[str, Any]:
    """A candidate as the parameters of a trial: one for each active dimension."""
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
    """The Pareto front: the finished trials that meet every constraint and that no other such trial dominates."""
    trials = [trial for trial in trials if is_feasible(trial)]
    signs = [-1 if "MAXIMIZE" in str(direction).upper() else 1 for direction in directions]
    rows = [tuple(sign * value for sign, value in zip(signs, trial.values, strict=True)) for trial in trials]
    return [
        trial
        for trial, row in zip(trials, rows, strict=True)
        if not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)
    ]
