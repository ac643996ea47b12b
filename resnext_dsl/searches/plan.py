"""What a search is asked to do: the same words on the command line, in Python, and in the processes that work on it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError, did_you_mean, error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.networks.loading import source_of
from resnext_dsl.searches.constraints import Bound, bound_of
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.spaces.space import Space, space_of

SAMPLERS = ("nsga2", "tpe", "random", "regularized-evolution")

ENGINES = ("processes", "ray")
"""What runs the workers: this machine, or a Ray cluster."""


class Plan(NamedTuple):
    """What a search does.

    Attributes:
        spec: A path, or the name of a shipped network.
        settings: Values of parameters that do not vary.
        root: The folder that imports stay under.
        maximize: Metrics that should be large: measures of cost, or what the evaluator gives.
        minimize: Metrics that should be small.
        budget: The budgets that candidates keep, by name; all of the file where empty.
        trials: How many candidates are evaluated in all, those of earlier runs included.
        workers: Processes; or trials at a time on a cluster, as far as it has room.
        storage: The URL of a database; "" stands for a SQLite file in the working folder.
        study: The name under which results are kept; "" stands for that of the network.
        sampler: One of `SAMPLERS`.
        evaluator: `module:function`, or the name of a built-in one.
        seed: Of everything that is random.
        screen: Candidates drawn to be ranked before any is evaluated; 0 for none.
        score: The training-free score that ranks them; "" for their cost.
        heartbeat: Seconds between the signs of life of a trial; after three of them without one it is taken for dead.
        constrain: Bounds on metrics, such as `accuracy >= 0.9`, that results on the front keep.
        measure: Whether latencies that the budgets limit are timed on this machine, and kept.
        choices: Keyword arguments of the evaluator.
        engine: One of `ENGINES`.
        resources: What a trial needs of a cluster: `cpu`, `gpu`, `memory` in bytes, others by their own name.
    """

    spec: str
    settings: Mapping[str, Any]
    root: str | None
    maximize: tuple[str, ...]
    minimize: tuple[str, ...]
    budget: tuple[str, ...]
    trials: int
    workers: int
    storage: str
    study: str
    sampler: str
    evaluator: str
    seed: int
    screen: int
    score: str
    heartbeat: int
    constrain: tuple[str, ...] = ()
    measure: bool = False
    choices: Mapping[str, Any] = MappingProxyType({})
    engine: str = "processes"
    resources: Mapping[str, float] = MappingProxyType({})

    @property
    def bounds(self) -> list[Bound]:
        """The bounds on metrics.

        Raises:
            ArchError: E205 for a text that is none.
        """
        return [bound_of(text) for text in self.constrain]

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that are optimized."""
        return self.maximize + self.minimize

    @property
    def directions(self) -> list[str]:
        """For each of them "maximize" or "minimize"."""
        return ["maximize"] * len(self.maximize) + ["minimize"] * len(self.minimize)

    @property
    def grace(self) -> int:
        """Seconds without a sign of life after which a trial is taken for dead."""
        return 3 * self.heartbeat

    def to_json(self) -> str:
        """As text, for another process."""
        return json.dumps(self.described())

    def described(self) -> dict[str, Any]:
        """As what JSON can hold; of a choice that it cannot, such as a path, the text."""
        choices = {name: json.loads(json.dumps(value, default=str)) for name, value in self.choices.items()}
        return {**self._asdict(), "choices": choices, "resources": dict(self.resources)}

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` has written."""
        read = json.loads(text)
        lists = {name: tuple(read.get(name, ())) for name in ("maximize", "minimize", "budget", "constrain")}
        return cls(**{**read, **lists})

    def check(self) -> None:
        """Refuses what cannot be done, whatever the spec.

        Raises:
            ArchError: E202 without an objective, E203 for one that is named twice, E101 for an unknown sampler or
                engine, E205 for a number out of range, or a text that is no constraint.
        """
        if not self.objectives:
            raise _wrong("E202", "nothing is asked for", "search", "give an objective: `--maximize accuracy`")
        for name in self.objectives:
            if self.objectives.count(name) > 1:
                raise _wrong("E203", f"`{name}` is an objective twice", name)
        for what, given, known in (("sampler", self.sampler, SAMPLERS), ("engine", self.engine, ENGINES)):
            if given not in known:
                hint = did_you_mean(given, known) or f"{what}s: {', '.join(known)}"
                raise _wrong("E101", f"unknown {what} `{given}`", given, hint)
        for name, least in (("trials", 1), ("workers", 1), ("heartbeat", 1), ("screen", 0)):
            if getattr(self, name) < least:
                raise _wrong("E205", f"`{name}` must be at least {least}; found {getattr(self, name)}", name)
        self._check_engine()
        self._check_screen()
        for text in self.constrain:
            bound_of(text)

    def _check_engine(self) -> None:
        """Refuses amounts that are none, and those that nothing would keep to."""
        for name, amount in self.resources.items():
            if not 0 <= amount < math.inf:
                raise _wrong("E205", f"`{name}` must be 0 or more; found {amount:g}", name)
        if self.resources and self.engine == "processes":
            message = "processes of this machine share it; only `ray` gives each trial its own"
            raise _wrong("E205", message, "resources", "give `--engine ray`")

    def _check_screen(self) -> None:
        """Refuses to rank too few candidates, or by what is not known of them."""
        if (self.score or self.screen) and self.screen < self.trials:
            what = f"`{self.score}` chooses" if self.score else "the screen is for choosing"
            message = f"{what} {self.trials} of the candidates drawn, which are only {self.screen}"
            raise _wrong("E205", message, "screen", "give a larger `--screen`")
        unknown = [name for name in self.objectives if name not in COST_MEASURES]
        if self.screen and not self.score and unknown:
            message = f"candidates are ranked before `{unknown[0]}` is known, and it is no measure of cost"
            raise _wrong("E205", message, "screen", f"give a `--score`; measures of cost: {', '.join(COST_MEASURES)}")

    def space(self, more: Mapping[str, Any] | None = None) -> Space:
        """The space that is searched; `more`: values that the evaluator needs parameters to have.

        Raises:
            ArchError: With everything that is wrong with the spec; E202 where no parameter has a domain.
        """
        found = space_of(source_of(self.spec, DEFAULTS), self.root, DEFAULTS, {**self.settings, **(more or {})})
        if not found.dimensions:
            message = f"no parameter of `{found.network.name}` has a domain, so there is nothing to search"
            raise _wrong("E202", message, self.spec, "declare one: `param width = 4 in 1..64`")
        return found


def identity(plan: Plan, space: Space) -> str:
    """A hash of what the results of a study have in common: the space, the budgets, the objectives, the evaluator."""
    described = {
        **space.to_json(),
        "network": space.network.fingerprint,
        "limits": [(limit.budget, limit.subject, limit.comparison, limit.bound) for limit in space.network.limits],
        "fixed": {name: str(value) for name, value in sorted(space.fixed.items())},
        "objectives": list(zip(plan.objectives, plan.directions, strict=True)),
        "budget": plan.budget,
        "evaluator": plan.evaluator,
        **({"constrain": plan.constrain} if plan.constrain else {}),
        **({"measure": True} if plan.measure else {}),
        **({"choices": plan.described()["choices"]} if plan.choices else {}),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _wrong(code: str, message: str, what: str, hint: str = "") -> ArchError:
    return error(code, message, override_source(what, what), hint=hint)
