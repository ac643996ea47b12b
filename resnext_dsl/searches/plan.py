"""The plan of a search: the same options for the command line, Python and the worker processes."""

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
from resnext_dsl.searches.passwords import without_password
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.spaces.space import Space, space_of

SAMPLERS = ("nsga2", "tpe", "random", "regularized-evolution")

ENGINES = ("processes", "ray")
"""The engines that run the workers: processes of this machine, or a Ray cluster."""


class Plan(NamedTuple):
    """The options of a search.

    Attributes:
        spec: A path, or the name of a shipped network.
        settings: Values of parameters that do not vary.
        root: The folder that imports stay under.
        maximize: Metrics to maximize: measures of cost, or metrics of the evaluator.
        minimize: Metrics to minimize.
        budget: Names of the budgets that candidates meet; empty for all budgets of the file.
        trials: Number of candidates to evaluate, including those of earlier runs.
        workers: Number of processes; on a cluster, the largest number of trials at a time.
        storage: The URL of a database; "" stands for a SQLite file in the working folder.
        study: The name of the study in the storage; "" stands for the name of the network.
        sampler: One of `SAMPLERS`.
        evaluator: `module:function`, or the name of a built-in one.
        seed: Seed of all random numbers.
        screen: Number of candidates to draw and rank before any is evaluated; 0 for none.
        score: The training-free score that ranks them; "" ranks by cost.
        heartbeat: Seconds between heartbeats of a trial; a trial without one for three intervals counts as dead.
        constrain: Bounds on metrics, such as `accuracy >= 0.9`; the front has only results that meet them.
        measure: Whether to time, on this machine, the latencies that the budgets limit, and to enforce them.
        choices: Keyword arguments of the evaluator.
        engine: One of `ENGINES`.
        resources: Resources that a trial needs on a cluster: `cpu`, `gpu`, `memory` in bytes, custom ones by name.
        stream: Further words of the seed, which differ between several commands of one study.
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
    stream: tuple[int, ...] = ()

    def __repr__(self) -> str:
        shown = self._replace(storage=without_password(self.storage))
        return f"Plan({', '.join(f'{name}={value!r}' for name, value in shown._asdict().items())})"

    @property
    def bounds(self) -> list[Bound]:
        """The bounds on metrics.

        Raises:
            ArchError: E205 for a text that is not a bound.
        """
        return [bound_of(text) for text in self.constrain]

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that are optimized."""
        return self.maximize + self.minimize

    @property
    def directions(self) -> list[str]:
        """For each objective, "maximize" or "minimize"."""
        return ["maximize"] * len(self.maximize) + ["minimize"] * len(self.minimize)

    @property
    def grace(self) -> int:
        """Seconds without a heartbeat after which a trial counts as dead."""
        return 3 * self.heartbeat

    def to_json(self) -> str:
        """The plan as JSON text, for another process."""
        return json.dumps(self.described())

    def described(self) -> dict[str, Any]:
        """The plan as a JSON object; a choice that JSON cannot represent, such as a path, is its text."""
        choices = {name: json.loads(json.dumps(value, default=str)) for name, value in self.choices.items()}
        return {**self._asdict(), "choices": choices, "resources": dict(self.resources)}

    def stored(self) -> dict[str, Any]:
        """The plan as the study stores it: without the password of the storage."""
        return self._replace(storage=without_password(self.storage)).described()

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan in a text of `to_json`."""
        read = json.loads(text)
        lists = {name: tuple(read.get(name, ())) for name in ("maximize", "minimize", "budget", "constrain", "stream")}
        return cls(**{**read, **lists})

    def check(self) -> None:
        """Checks the options that do not depend on the spec.

        Raises:
            ArchError: E202 without an objective, E203 for a repeated objective. E101 for an unknown sampler or engine.
                E205 for a number out of range or an invalid constraint.
        """
        if not self.objectives:
            raise _wrong("E202", "the request has no goal", "search", "give an objective: `--maximize accuracy`")
        for name in self.objectives:
            if self.objectives.count(name) > 1:
                raise _wrong("E203", f"`{name}` is an objective twice", name)
        for option, name, known in (("sampler", self.sampler, SAMPLERS), ("engine", self.engine, ENGINES)):
            if name not in known:
                hint = did_you_mean(name, known) or f"{option}s: {', '.join(known)}"
                raise _wrong("E101", f"unknown {option} `{name}`", name, hint)
        for name, least in (("trials", 1), ("workers", 1), ("heartbeat", 1), ("screen", 0)):
            if getattr(self, name) < least:
                raise _wrong("E205", f"`{name}` must be at least {least}; found {getattr(self, name)}", name)
        self._check_engine()
        self._check_screen()
        for text in self.constrain:
            bound_of(text)

    def _check_engine(self) -> None:
        """Refuses invalid amounts of resources, and resources without a cluster that enforces them."""
        for name, amount in self.resources.items():
            if not 0 <= amount < math.inf:
                raise _wrong("E205", f"`{name}` must be 0 or more; found {amount:g}", name)
        if self.resources and self.engine == "processes":
            message = "processes of this machine share its resources; only `ray` reserves them per trial"
            raise _wrong("E205", message, "resources", "give `--engine ray`")

    def _check_screen(self) -> None:
        """Refuses a screen of too few candidates, and a ranking by a metric that is not known yet."""
        if (self.score or self.screen) and self.screen < self.trials:
            chooser = f"the score `{self.score}`" if self.score else "the screen"
            message = f"{chooser} chooses {self.trials} candidates, but only {self.screen} are drawn"
            raise _wrong("E205", message, "screen", "give a larger `--screen`")
        unknown = [name for name in self.objectives if name not in COST_MEASURES]
        if self.screen and not self.score and unknown:
            message = f"candidates are ranked before `{unknown[0]}` is known, because it is not a measure of cost"
            raise _wrong("E205", message, "screen", f"give a `--score`; measures of cost: {', '.join(COST_MEASURES)}")

    def space(self, overrides: Mapping[str, Any] | None = None) -> Space:
        """The space to search; `overrides` are parameter values that the evaluator needs.

        Raises:
            ArchError: For all errors of the spec; E202 if no parameter has a domain.
        """
        values = {**self.settings, **(overrides or {})}
        space = space_of(source_of(self.spec, DEFAULTS), self.root, DEFAULTS, values)
        if not space.dimensions:
            message = f"no parameter of `{space.network.name}` has a domain, so there is nothing to search"
            raise _wrong("E202", message, self.spec, "declare one: `param width = 4 in 1..64`")
        return space


def identity(plan: Plan, space: Space) -> str:
    """A hash of the space, budgets, objectives and evaluator, which all results of a study share."""
    described = {
        **space.to_json(),
        "network": space.network.fingerprint,
        "limits": _limits(space),
        "fixed": _fixed(space),
        "objectives": list(zip(plan.objectives, plan.directions, strict=True)),
        "budget": plan.budget,
        "evaluator": plan.evaluator,
        **({"constrain": plan.constrain} if plan.constrain else {}),
        **({"measure": True} if plan.measure else {}),
        **({"choices": plan.described()["choices"]} if plan.choices else {}),
    }
    return _hash(described)


def parts_of(plan: Plan, space: Space) -> dict[str, str]:
    """The parts of the identity, by their name in a message, each as a hash."""
    described = {
        "domains": [dimension.to_json() for dimension in space.dimensions],
        "network": space.network.fingerprint,
        "fixed values": _fixed(space),
        "objectives": list(zip(plan.objectives, plan.directions, strict=True)),
        "budgets": [plan.budget, _limits(space)],
        "evaluator": plan.evaluator,
        "constraints": plan.constrain,
        "timing of latencies": plan.measure,
        "choices of the evaluator": plan.described()["choices"],
    }
    return {name: _hash(part) for name, part in described.items()}


def _limits(space: Space) -> list[tuple[Any, ...]]:
    return [(limit.budget, limit.subject, limit.comparison, limit.bound) for limit in space.network.limits]


def _fixed(space: Space) -> dict[str, str]:
    return {name: str(value) for name, value in sorted(space.fixed.items())}


def _hash(described: Any) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _wrong(code: str, message: str, option: str, hint: str = "") -> ArchError:
    return error(code, message, override_source(option, option), hint=hint)
