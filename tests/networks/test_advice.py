"""The change that would meet a limit, against every change tried one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.networks.spec import Spec

SPEC = """
network small {{
    input image: 3x16x16
    param width = 16 in {{4, 8, 12, 16}}
    param groups = 1 in {{1, 2, 4}}
    param other = 3
    stage a {{ conv(width, 3x3); relu }}
    stage b {{ conv(width * 2, 3x3, groups=groups); relu }}
    head {{ avgpool(global); flatten; linear(other) }}
    budget {{ {limit} }}
}}
"""
MEASURES = ("params", "flops", "macs", "activations")


@pytest.mark.parametrize("measure", MEASURES)
def test_the_suggestion_changes_the_measure_least(measure: str) -> None:
    spec = SPEC.format(limit="params >= 0")
    now = getattr(rx.loads(spec).cost(), measure)
    changes = [{"width": 4}, {"width": 8}, {"width": 12}, {"groups": 2}, {"groups": 4}]
    found = {next(iter(c.items())): getattr(rx.loads(spec, **c).cost(), measure) for c in changes}
    for bound in sorted({value for value in found.values() if value < now}):
        (line,) = rx.loads(SPEC.format(limit=f"{measure} <= {bound}")).usage()
        best = max(value for value in found.values() if value <= bound)
        names = [f"`--set {name}={value}`" for (name, value), cost in found.items() if cost == best]
        assert line.suggestion in [f"{name} would meet it, with {best:,}" for name in names]


@pytest.mark.parametrize(
    ("limit", "suggestion"),
    [
        ("b.flops <= 1M", "`--set width=12` would meet it, with 663,552"),
        ("depth == 2", "no value of a single parameter, within its domain, would meet it"),
        ("params <= 10", "no value of a single parameter, within its domain, would meet it"),
        ("params >= 0", ""),
        ("weights <= 1KB", ""),
    ],
)
def test_suggestions_for_other_limits(limit: str, suggestion: str) -> None:
    (line,) = rx.loads(SPEC.format(limit=limit)).usage()
    assert line.suggestion == suggestion


def test_a_spec_without_domains_has_no_suggestion() -> None:
    spec = SPEC.format(limit="params <= 10").replace("in {4, 8, 12, 16}", "").replace("in {1, 2, 4}", "")
    (line,) = rx.loads(spec).usage()
    assert line.suggestion == ""


def test_the_error_carries_it() -> None:
    with pytest.raises(rx.BudgetError, match="`--set width=12` would meet it, with"):
        rx.loads(SPEC.format(limit="b.flops <= 1M")).check()


SEVEN = """
network small {
    input image: 3x16x16
    param width = 16 in {4, 8, 12, 16}
    param groups = 1 in {1, 2, 4}
    param last = 8 in 8..12
    param fixed = 3
    stage a { conv(width, 3x3); relu }
    stage b { conv(width * 2, 3x3, groups=groups); relu }
    head { avgpool(global); flatten; linear(last); linear(fixed) }
    budget first { params <= 10; flops <= 10; macs <= 10; activations <= 10 }
    budget second { params <= 2K; flops <= 300K; macs <= 300K }
}
"""
"""Seven limits, all of them exceeded."""


def counted(monkeypatch: pytest.MonkeyPatch, method: str) -> list[Mapping[str, Any]]:
    """The last argument of each call of a method of `Spec`."""
    real, calls = getattr(Spec, method), []

    def record(spec: Spec, *arguments: Any) -> Any:
        calls.append(arguments[-1] if arguments else {})
        return real(spec, *arguments)

    monkeypatch.setattr(Spec, method, record)
    return calls


def test_each_parameter_is_priced_once_for_all_exceeded_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    network = rx.loads(SEVEN)
    priced, bound = counted(monkeypatch, "price"), counted(monkeypatch, "network")
    lines = network.usage()
    assert [line.met for line in lines] == [False] * 7
    open_parameters = [name for name, parameter in network.parameters.items() if parameter.domain is not None]
    assert open_parameters == ["width", "groups", "last"]
    assert [list(columns) for columns in priced] == [[name] for name in open_parameters]
    assert priced == [{"width": [4, 8, 12]}, {"groups": [2, 4]}, {"last": [9, 10, 11, 12]}]
    assert not bound
    network.usage()
    assert len(priced) == len(open_parameters)


def test_each_value_is_bound_once_for_all_limits_without_a_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = "budget { a.flops <= 1; b.params <= 1; depth <= 1; b.macs <= 1 }"
    network = rx.loads(SEVEN.partition("budget first")[0] + limits + "\n}")
    priced, bound = counted(monkeypatch, "price"), counted(monkeypatch, "network")
    lines = network.usage()
    assert [line.met for line in lines] == [False] * 4
    domains = [p.domain for p in network.parameters.values() if p.domain is not None]
    assert len(bound) == sum((domain.size or 0) - 1 for domain in domains) == 9
    assert not priced


def test_limits_that_are_met_price_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = rx.loads(SPEC.format(limit="params <= 1M; b.flops <= 1G"))
    priced, bound = counted(monkeypatch, "price"), counted(monkeypatch, "network")
    assert all(line.met for line in network.usage())
    assert not priced
    assert not bound
