"""Constraints on a result in addition to the closed-form budgets of a space: bounds on metrics, and latencies.

A bound on a metric is checked after a candidate is evaluated. Optuna's samplers get it as a constraint, and the front
has no result that misses it. A latency is timed before training, so that no candidate is trained in vain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resnext_dsl.budgets.limits import Limit
from resnext_dsl.budgets.usage import Usage, usage
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.networks.network import Network
from resnext_dsl.semantics.overrides import override_source

FORM = re.compile(r"\s*(?P<metric>[^<>=]*[^<>=\s])\s*(?P<comparison><=|>=)\s*(?P<bound>[^<>=\s]+)\s*")

LONGEST = 200
"""Most characters of a bound; the bound is a key in the database, and keys have a limited length."""


class Bound(NamedTuple):
    """A bound on a metric."""

    metric: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        number = int(self.bound) if self.bound.is_integer() else self.bound
        return f"{self.metric} {self.comparison} {number}"

    def violation(self, value: float) -> float:
        """How far a value is beyond the bound; zero or less if it meets the bound."""
        return value - self.bound if self.comparison == "<=" else self.bound - value


def bound_of(text: str) -> Bound:
    """The bound that a text such as `accuracy >= 0.9` describes.

    Raises:
        ArchError: E205 if the text is not a bound.
    """
    match = FORM.fullmatch(text)
    try:
        number = float(match["bound"].replace("_", "")) if match else math.nan
    except ValueError:
        number = math.nan
    if match is None or not math.isfinite(number) or len(text) > LONGEST:
        raise _wrong(f"a constraint is `METRIC <= NUMBER` or `METRIC >= NUMBER`; found `{text[:80]}`", text)
    return Bound(match["metric"], match["comparison"], number)


def latencies(network: Network, budgets: Sequence[str]) -> list[Limit]:
    """The limits of a network's budgets that need a measurement."""
    return [limit for limit in network.limits_of(budgets) if limit.row.read is None]


class MissedError(Exception):
    """A candidate misses the limit of a latency."""


def check_devices(limits: Sequence[Limit]) -> None:
    """Raises ArchError E603 at the limit if this machine does not have the device of a latency."""
    from resnext_dsl.devices.torch_device import device_of

    for limit in limits:
        device_of(dict(limit.arguments)["device"], limit.span)


def timed(network: Network, budgets: Sequence[str]) -> dict[str, float]:
    """Times the latencies that a network's budgets limit. Returns seconds by the name in the file.

    Raises:
        MissedError: If one of them is missed.
        ArchError: E603 if this machine does not have the device.
    """
    lines = usage(tuple(latencies(network, budgets)), network, measure=True)
    missed = [line for line in lines if not line.met]
    if missed:
        raise MissedError("; ".join(map(_missed, missed)))
    return {line.limit.subject: float(line.used or 0) for line in lines}


def _missed(line: Usage) -> str:
    limit, show = line.limit, line.limit.row.unit.show
    assert line.used is not None
    return f"`{limit.subject}` is {show(line.used)}; the limit is {limit.comparison} {show(limit.bound)}"


def violations(bounds: Sequence[Bound], metrics: Mapping[str, float]) -> dict[str, float]:
    """For each bound, how far its metric is beyond it."""
    return {str(bound): bound.violation(metrics[bound.metric]) for bound in bounds}


def _wrong(message: str, text: str) -> ArchError:
    return error(
        "E205", message, override_source("constrain", text), hint='for example `--constrain "accuracy >= 0.9"`'
    )
