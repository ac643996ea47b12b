"""Evaluators, which compute the metrics of a candidate: a user's function, a built-in one, or the cost alone."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, did_you_mean
from resnext_dsl.networks.network import Network
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.versions import version_of
from resnext_dsl.spaces.candidate import Candidate

COST = "cost"
"""The evaluator that computes the closed-form cost only and compiles no model."""

Report = Callable[[int, Mapping[str, float]], None]


class EvaluationError(Exception):
    """An evaluator has returned an invalid result."""


class Evaluator:
    """An evaluator as a search uses it.

    Attributes:
        builds: Whether it needs the compiled model; a function whose first parameter is `network` gets the network.
        reports: Whether it reports intermediate metrics, so that it can be stopped early.
        runs: Whether it calls a function; the evaluator "cost" does not.
        takes_any_device: Whether it trains on a GPU if one is available, and on the CPU otherwise.
    """

    def __init__(self, function: Callable[..., Any] | None, choices: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Takes a function and its keyword arguments.

        Raises:
            ArchError: E721 for an argument that the function does not have.
        """
        self._function = function
        self._choices = dict(choices)
        _check_choices(function, choices)
        self.runs = function is not None
        self.takes_any_device = bool(getattr(function, "takes_any_device", False))
        self.builds = function is not None and next(iter(_parameters(function)), "") != "network"
        self.reports = function is not None and "report" in _parameters(function)

    @property
    def device(self) -> str:
        """The attribute `device` of the function, in torch's notation; "" if it has none."""
        device = getattr(self._function, "device", "")
        return device if isinstance(device, str) else ""

    @property
    def usual_device(self) -> str:
        """The device of most evaluations: the CPU, or "" if no function runs."""
        return "cpu" if self.runs else ""

    @property
    def version(self) -> str:
        """A hash of the function's source; "" for a built-in evaluator and for a function without a source."""
        return version_of(self._function)

    def check_metrics(self, wanted: Sequence[str], timed: Sequence[str]) -> None:
        """Refuses metrics that the evaluator does not give, as far as that is known before an evaluation.

        A built-in evaluator and a function with an attribute `metrics` name their metrics. Latencies that are `timed`
        and measures of cost are always there.

        Raises:
            ArchError: E721 for a metric that the evaluator does not give.
        """
        listed = () if self._function is None else getattr(self._function, "metrics", None)
        if not isinstance(listed, list | tuple | set | frozenset):
            return
        known = [*listed, *COST_MEASURES, *timed]
        for name in wanted:
            if name not in known:
                evaluator = f"`{COST}`" if self._function is None else "the evaluator"
                hint = did_you_mean(name, known) or f"it gives {', '.join(known)}"
                raise _unusable(f"{evaluator} gives no metric `{name}`", f"{hint}; another one: `--evaluator`")

    def overrides(self, network: Network, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Values that parameters of a network need, such as the number of classes of a data set."""
        overrides = getattr(self._function, "overrides", None)
        return {} if overrides is None else dict(overrides(network, settings))

    def check(self, network: Network) -> None:
        """Raises ArchError if the evaluator's own check refuses the network."""
        check = getattr(self._function, "check", None)
        if check is not None:
            check(network)

    def __call__(
        self,
        network: Network,
        candidate: Candidate,
        wanted: Sequence[str],
        seed: int,
        report: Report | None,
        known: Mapping[str, float],
    ) -> dict[str, float]:
        """The metrics of a candidate: its cost, the `known` metrics, and those that the evaluator returns.

        Raises:
            EvaluationError: If a wanted metric is missing or not finite.
            Exception: Any exception of the evaluator.
        """
        metrics: dict[str, float] = {measure: getattr(network.cost(), measure) for measure in COST_MEASURES} | {**known}
        if self._function is not None:
            arguments = {"report": report} if self.reports and report is not None else {}
            subject = network.compile(seed=seed) if self.builds else network
            process = os.getpid()
            try:
                returned = self._function(subject, candidate, **self._choices, **arguments)
            finally:
                if os.getpid() != process:  # a child that the function has forked must not record a result
                    os._exit(1)
            metrics |= _checked(returned)
        for name in wanted:
            if name not in metrics:
                raise EvaluationError(f"the evaluator gives no metric `{name}`; it gives {', '.join(metrics)}")
            if not math.isfinite(metrics[name]):
                raise EvaluationError(f"the metric `{name}` is {metrics[name]}")
        return metrics


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin has no signature
        return {}


def _check_choices(function: Callable[..., Any] | None, choices: Mapping[str, Any]) -> None:
    """Refuses choices that a function does not take, before any candidate is evaluated."""
    if not choices:
        return
    if function is None:
        raise _unusable(f"`{COST}` takes no choices; found `{next(iter(choices))}`", "leave `--choice` out")
    taken = _parameters(function)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    names = [name for name in list(taken)[2:] if name != "report"]
    for name in choices:
        if name not in names:
            hint = did_you_mean(name, names) or (f"it takes {', '.join(names)}" if names else "it takes none")
            raise _unusable(f"the evaluator takes no choice `{name}`", hint)


def _checked(returned: Any) -> dict[str, float]:
    """The metrics that an evaluator has returned, as floats."""
    if not isinstance(returned, Mapping):
        raise EvaluationError(f"an evaluator gives a dict of metrics; found {type(returned).__name__}")
    metrics = {}
    for name, metric in returned.items():
        scalar = getattr(metric, "ndim", None) == 0 and hasattr(metric, "item")
        value = metric.item() if scalar else metric
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
            raise EvaluationError(f"a metric is a name and a number; found {name!r}: {value!r}"[:200])
        metrics[name] = float(value)
    return metrics


def evaluator_of(plan: Plan) -> Evaluator:
    """The evaluator of a plan.

    Raises:
        ArchError: E721 if the evaluator is unknown, cannot be imported or does not take the choices; E711 for choices
            that a recipe does not have.
    """
    name = plan.evaluator
    if name == COST:
        return Evaluator(None, plan.choices)
    module, colon, attribute = name.partition(":")
    if not colon:
        return Evaluator(_built_in(name, {"seed": plan.seed, **plan.choices}))
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module), attribute)
    except AttributeError:
        known = [key for key, value in vars(sys.modules[module]).items() if callable(value) and key[0] != "_"]
        hint = did_you_mean(attribute, known) or f"it has {', '.join(known[:8])}"
        raise _unusable(f"module `{module}` has no function `{attribute}`", hint) from None
    except Exception as problem:  # the import of a user's module may raise any exception
        raise _unusable(f"cannot import `{module}`: {type(problem).__name__}: {problem}"[:300]) from None
    if not callable(function):
        raise _unusable(f"`{name}` is not a function; found {type(function).__name__}")
    if isinstance(function, type):
        raise _unusable(f"`{name}` is a class; give a function, or an object of it")
    return Evaluator(function, plan.choices)


def _built_in(name: str, choices: Mapping[str, Any]) -> Callable[..., Any]:
    from resnext_dsl.train.evaluators import EVALUATORS

    if name not in EVALUATORS:
        listed = (COST, *EVALUATORS)
        hint = did_you_mean(name, listed) or f"built in: {', '.join(listed)}; your own: `module:function`"
        raise _unusable(f"unknown evaluator `{name}`", hint)
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in choices.items()}
    evaluator: Callable[..., Any] = EVALUATORS[name](**arguments)
    return evaluator


def _unusable(
    message: str, hint: str = "an evaluator is a function of (model, candidate) that gives a dict"
) -> ArchError:
    return ArchError([Diagnostic("E721", message, hint=hint, file="--evaluator")])
