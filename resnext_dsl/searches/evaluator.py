"""What tells how good a candidate is: a function of the user's, one of those built in, or the cost alone."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, did_you_mean
from resnext_dsl.networks.network import Network
from resnext_dsl.searches.plan import Plan
from resnext_dsl.spaces.candidate import Candidate

COST = "cost"
"""The evaluator that looks at the closed-form cost only; no model is made."""

Report = Callable[[int, Mapping[str, float]], None]


class EvaluationError(Exception):
    """An evaluator has given something that is no result."""


class Evaluator:
    """An evaluator as a search uses it.

    Attributes:
        builds: Whether it needs the compiled model; one whose first parameter is called `network` takes that instead.
        reports: Whether it can be told to give up early.
        runs: Whether there is something to run beside the counting of costs.
        takes_any_device: Whether it trains on a GPU if there is one, and on the CPU otherwise.
    """

    def __init__(self, function: Callable[..., Any] | None, choices: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Takes a function and its keyword arguments.

        Raises:
            ArchError: E721 for an argument that it does not take.
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
        """The device that it says it uses, by torch's name; "" where it does not say."""
        told = getattr(self._function, "device", "")
        return told if isinstance(told, str) else ""

    def overrides(self, network: Network, given: Mapping[str, Any]) -> dict[str, Any]:
        """Values that parameters of a network need, such as the number of classes of a data set."""
        ask = getattr(self._function, "overrides", None)
        return {} if ask is None else dict(ask(network, given))

    def check(self, network: Network) -> None:
        """Raises ArchError where it can tell that the network cannot be evaluated."""
        ask = getattr(self._function, "check", None)
        if ask is not None:
            ask(network)

    def __call__(
        self,
        network: Network,
        candidate: Candidate,
        wanted: Sequence[str],
        seed: int,
        report: Report | None,
        known: Mapping[str, float],
    ) -> dict[str, float]:
        """The metrics of a candidate: its cost, what is `known` already, and what the evaluator gives.

        Raises:
            EvaluationError: Where a wanted metric is missing or is no finite number.
            Exception: Whatever the evaluator raises.
        """
        metrics: dict[str, float] = {measure: getattr(network.cost(), measure) for measure in COST_MEASURES} | {**known}
        if self._function is not None:
            given = {"report": report} if self.reports and report is not None else {}
            subject = network.compile(seed=seed) if self.builds else network
            metrics |= _checked(self._function(subject, candidate, **self._choices, **given))
        for name in wanted:
            if name not in metrics:
                raise EvaluationError(f"the evaluator gives no metric `{name}`; it gives {', '.join(metrics)}")
            if not math.isfinite(metrics[name]):
                raise EvaluationError(f"the metric `{name}` is {metrics[name]}")
        return metrics


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # of what is not written in Python
        return {}


def _check_choices(function: Callable[..., Any] | None, choices: Mapping[str, Any]) -> None:
    """Refuses choices that a function does not take, before any candidate fails of them."""
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


def _checked(found: Any) -> dict[str, float]:
    """The metrics that an evaluator has given, as floats."""
    if not isinstance(found, Mapping):
        raise EvaluationError(f"an evaluator gives a dict of metrics; found {type(found).__name__}")
    metrics = {}
    for name, given in found.items():
        scalar = getattr(given, "ndim", None) == 0 and hasattr(given, "item")
        value = given.item() if scalar else given
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
            raise EvaluationError(f"a metric is a name and a number; found {name!r}: {value!r}"[:200])
        metrics[name] = float(value)
    return metrics


def evaluator_of(plan: Plan) -> Evaluator:
    """The evaluator of a plan.

    Raises:
        ArchError: E721 where there is none of this name, it cannot be imported, or does not take the choices; E711
            for choices that a recipe does not have.
    """
    name = plan.evaluator
    if name == COST:
        return Evaluator(None, plan.choices)
    module, sign, function = name.partition(":")
    if not sign:
        return Evaluator(_built_in(name, {"seed": plan.seed, **plan.choices}))
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), function)
    except AttributeError:
        known = [key for key, value in vars(sys.modules[module]).items() if callable(value) and key[0] != "_"]
        hint = did_you_mean(function, known) or f"it has {', '.join(known[:8])}"
        raise _unusable(f"module `{module}` has no function `{function}`", hint) from None
    except Exception as problem:  # what the import of a user's module may raise is anything
        raise _unusable(f"cannot import `{module}`: {type(problem).__name__}: {problem}"[:300]) from None
    if not callable(found):
        raise _unusable(f"`{name}` is no function; found {type(found).__name__}")
    if isinstance(found, type):
        raise _unusable(f"`{name}` is a class; give a function, or an object of it")
    return Evaluator(found, plan.choices)


def _built_in(name: str, choices: Mapping[str, Any]) -> Callable[..., Any]:
    from resnext_dsl.train.evaluators import EVALUATORS

    if name not in EVALUATORS:
        listed = (COST, *EVALUATORS)
        hint = did_you_mean(name, listed) or f"built in: {', '.join(listed)}; your own: `module:function`"
        raise _unusable(f"no evaluator is named `{name}`", hint)
    settled = {key: tuple(value) if isinstance(value, list) else value for key, value in choices.items()}
    made: Callable[..., Any] = EVALUATORS[name](**settled)
    return made


def _unusable(
    message: str, hint: str = "an evaluator is a function of (model, candidate) that gives a dict"
) -> ArchError:
    return ArchError([Diagnostic("E721", message, hint=hint, file="--evaluator")])
