"""Lists that share parts: building them and walking them takes a bounded number of steps, wherever they stand."""

from __future__ import annotations

import time
from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import Diagnostic

SECONDS = 10.0


def chain(levels: int, name: str = "a", link: str = "[{0}, {0}]") -> str:
    """Lets `a0` to `aN`, each a list of the one before, twice."""
    lines = [f"let {name}0 = 1"]
    lines += [f"let {name}{n} = {link.format(f'{name}{n - 1}')}" for n in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


def outcome(text: str, **overrides: Any) -> list[str]:
    """The codes of a spec's errors, none if it loads; the time is held against the limit."""
    start = time.process_time()
    diagnostics: tuple[Diagnostic, ...] = ()
    try:
        rx.loads(text, **overrides).cost()
    except rx.ArchError as problem:
        diagnostics = problem.diagnostics
    assert len(str(rx.ArchError(diagnostics))) < 100_000
    assert time.process_time() - start < SECONDS
    return [diagnostic.code for diagnostic in diagnostics]


LINKS = {
    "list": "[{0}, {0}]",
    "sum": "[{0}] + [{0}]",
    "comprehension": "[{0} for i in [1, 2]]",
    "operator": "conv({0}, {0})",
    "template": "t({0}, {0})",
    "conditional": "[{0}, {0}] if true else 0",
    "function": "twice({0})",
}

DECLARED = "template t(p, q) { relu }\nfn twice(v) = [v, v]\n"


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("levels", [17, 60, 500])
def test_a_value_with_too_many_elements_cannot_be_built(link: str, levels: int) -> None:
    text = DECLARED + chain(levels, link=LINKS[link]) + "network n { input image: 3x8x8\n conv(4, 1x1) }"
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    (diagnostic,) = (each for each in caught.value.diagnostics if each.severity == "error")
    assert diagnostic.code == "E405"
    assert diagnostic.message == "the value would have more than 100000 elements, those of inner lists included"
    assert diagnostic.hint == "the option `max_nodes` sets the limit"
    assert outcome(text) == ["E405"]


@pytest.mark.parametrize("link", ["[{0}]", "conv({0})", "t({0})"])
def test_a_value_cannot_be_deeper_than_calls(link: str) -> None:
    text = DECLARED + chain(3000, link=link) + "network n { input image: 3x8x8\n conv(4, 1x1) }"
    assert outcome(text) == ["E403"]


BIG = chain(15) + chain(15, "b")
"""Two equal values of 65,535 elements each that share no list with each other."""

PLACES = {
    "equal": "repeat 100 { if a15 == b15 { relu } }",
    "unequal": "let n = [i for i in range(100) if a15 != b15]\nrelu",
    "count": "let n = [count([a15, b15], a15) for i in range(100)]\nrelu",
    "max": "let n = max(a15)\nrelu",
    "sum": "let n = sum(a15)\nrelu",
    "len": "repeat 1000 { if len(a15) == 2 { relu } }",
    "range": "let n = range(a15)\nrelu",
    "first": "repeat 100 { let n = first(a15, b15)\nrelu }",
    "index": "let n = a15[b15]\nrelu",
    "index of a shape": "let n = 3x3[a15]\nrelu",
    "condition": "if a15 { relu }",
    "arithmetic": "let n = a15 * b15\nrelu",
    "negation": "let n = -a15\nrelu",
    "shape": "let n = a15 x b15\nrelu",
    "loop": "for e in a15 { relu }",
    "unpacked": "for e, f, g in a15 { relu }",
    "comprehension": "let n = [e for e, f, g in a15]\nrelu",
    "times": "repeat a15 { relu }",
    "paths": "split a15 { relu } merge add",
    "shortcut": "residual(shortcut=a15) { relu }",
    "template": "repeat 100 { t(a15, b15) }",
    "template by name": "repeat 100 { t(p=a15, q=b15) }",
    "default of a template": "repeat 100 { u() }",
    "filled in": "let v = t(a15)\nrepeat 100 { v(b15) }",
    "passed on": "let v = t(a15)\nlet w = t(b15)\nrepeat 100 { t(v, w) }",
    "function": "repeat 100 { if same(a15, b15) { relu } }",
    "operator": "conv(a15, b15)",
    "operator, many": "repeat 100 { conv(4, a15) }",
    "operator that merges": "concat(a15)",
    "callee": "a15(3)",
    "callee in an expression": "let n = a15(3)\nrelu",
    "use": "use a15",
    "operator's default": "default conv(kernel=a15)\nconv(4)",
    "init": "init { conv.weight = normal(std=a15) }\nconv(4, 1x1)",
    "requirement": "require a15 == b15\nrequire a15\nrelu",
    "limit": "budget { params <= a15 }\nrelu",
    "limit of a measure": "budget { latency(batch=a15) <= 1ms }\nrelu",
    "budget": "budget(batch=a15) { params <= 1M }\nrelu",
    "parameter": "param p = a15\nif p == b15 { relu }",
    "set": "param p = a15 in {b15, a14, b14, a15, 3}\nrelu",
    "range of a domain": "param p = 3 in 1..a15\nrelu",
    "when": "param p = 3 in 1..4 when a15 == b15\nrelu",
    "typed parameter": "param p: int = a15\nrelu",
    "stage": "stage s repeat a15 { relu }",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_large_value_in_any_place_is_walked_in_bounded_time(place: str) -> None:
    before = (
        f"{BIG}template t(p, q) {{ if p == q {{ relu }} else {{ gelu }} }}\n"
        "template u(p = a15, q = b15) { if p == q { relu } else { gelu } }\nfn same(p, q) = p == q\n"
    )
    codes = outcome(f"{before}network n {{ input image: 3x8x8\n{PLACES[place]}\n conv(4, 1x1) }}")
    assert all(code.startswith(("E", "W")) for code in codes)
    if place in ("equal", "unequal", "count", "template", "template by name", "default of a template", "function"):
        assert set(codes) == {"E405"}


def test_large_values_as_overrides_and_as_arguments_of_a_derived_network() -> None:
    shared: Any = 1
    for _ in range(60):
        shared = [shared, shared]
    endless: list[Any] = []
    endless.append(endless)
    text = "network n { input image: 3x8x8\n param p = [1, 1]\n param q = 3\n if p == [1, 1] { relu }\n conv(q, 1x1) }"
    for name in ("p", "q"):
        assert outcome(text, **{name: shared}) in (["E405"], ["E204"])
        assert outcome(text, **{name: endless})[0] in ("E403", "E204", "E405")
        assert outcome(text, **{name: [[1] * 50_000] * 50_000}) in (["E405"], ["E204"])
    derived = f"{BIG}{text}\nnetwork m = n(p=a15)"
    assert outcome(derived) in (["E504"], [])


def test_a_message_cuts_a_large_value() -> None:
    with pytest.raises(rx.ArchError, match=r"must be a list; found|a condition must be") as caught:
        rx.loads(f"{BIG}network n {{ input image: 3x8x8\n if a15 {{ relu }}\n conv(4, 1x1) }}")
    inner = "[[...], [...]]"
    shown = f"[[{inner[1:-1]}], [{inner[1:-1]}]]"
    shown = f"[{shown}, {shown}]"
    assert caught.value.diagnostics[0].message == f"a condition must be true or false; found {shown}"
