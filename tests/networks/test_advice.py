"""The change that would meet a limit, against every change tried one by one."""

from __future__ import annotations

import pytest

import resnext_dsl as rx

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
