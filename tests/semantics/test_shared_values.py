"""Lists that share parts: building them and walking them takes a bounded number of steps, wherever they stand."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from space_oracle import space_from
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
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


DOUBLINGS = 60
DOUBLED = "double(" * DOUBLINGS + "1" + ")" * DOUBLINGS
"""One expression whose value would have 2 ** 60 elements."""

BEFORE = (
    "fn double(v) = [v, v]\nfn same(p, q) = p == q\ntemplate t(p, q = 1) { if p == q { relu } else { gelu } }\n"
    "template u(p = D) { if p == 1 { relu } else { gelu } }\n"
)

DOUBLED_PLACES = {
    "let": "let n = D\nif n == 1 { relu }",
    "default of an operator": "default conv(kernel=D)",
    "argument of a template": "t(D)",
    "named argument of a template": "t(1, q=D)",
    "default of a template": "u()",
    "argument that is filled in": "let v = t(D)\nv()",
    "argument of an operator": "conv(4, D)",
    "named argument of an operator": "conv(4, 1x1, groups=D)",
    "argument of a merge": "split 2 { relu } merge concat(D)",
    "operand of a merge": "concat(D)",
    "argument of a function": "if same(D, 1) { relu }",
    "list that is indexed": "let n = D[0]\nif n == 1 { relu }",
    "index": "let n = [1][D]\nif n == 1 { relu }",
    "comparison, left": "if D == 1 { relu }",
    "comparison, right": "if 1 != D { relu }",
    "comparison of sizes": "if 1 < D { relu }",
    "condition": "if D { relu }",
    "logic": "if true and D { relu }",
    "negation": "if not D { relu }",
    "sign": "let n = -D\nif n == 1 { relu }",
    "sum of lists": "let n = D + D\nif n == 1 { relu }",
    "product": "let n = 2 * D\nif n == 1 { relu }",
    "power": "let n = 2 ** D\nif n == 1 { relu }",
    "size of a shape": "let n = 3 x D\nif n == 1 { relu }",
    "element of a list": "let n = [1, D]\nif n == 1 { relu }",
    "conditional, value": "let n = D if true else 1\nif n == 1 { relu }",
    "conditional, condition": "let n = 1 if D else 2\nif n == 1 { relu }",
    "conditional, otherwise": "let n = 1 if false else D\nif n == 1 { relu }",
    "repeat": "repeat D { relu }",
    "repeat of a stage": "stage s repeat D { relu }",
    "for": "for e in D { t(e) }",
    "comprehension, list": "let n = [e for e in D]\nif n == 1 { relu }",
    "comprehension, element": "let n = [D for e in [1, 2]]\nif n == 1 { relu }",
    "comprehension, condition": "let n = [1 for e in [1, 2] if D]\nif n == 1 { relu }",
    "paths": "split D { relu } merge add",
    "shortcut": "residual(shortcut=D) { relu }",
    "first": "repeat 2 { if first(D, 1) == 1 { relu } }",
    "budget, bound": "budget { params <= D }",
    "budget, range": "budget { params in 1..D }",
    "budget, argument": "budget(input=D) { params <= 1M }",
    "budget, type": "budget(dtype=D) { params <= 1M }",
    "budget, measure": "budget { latency(cpu, D) <= 1ms }",
    "init": "init { conv.weight = normal(std=D) }",
    "parameter": "param p = D\nif p == 1 { relu }",
    "parameter of a type": "param p: int = D\nif p == 1 { relu }",
    "domain, set": "param p = 1 in {1, D}\nif p == 1 { relu }",
    "domain, range": "param p = 1 in 1..D\nif p == 1 { relu }",
    "domain, step": "param p = 1 in 1..9 step D\nif p == 1 { relu }",
    "domain, list": "param p = [1] in [{1, D}]\nif p == [1] { relu }",
    "when": "param p = 1 in 1..9 when D == 1\nif p == 1 { relu }",
    "requirement": "require D",
} | {name: f"if {name}(D) == 1 {{ relu }}" for name in ("min", "max", "sum", "len", "abs", "range", "round", "sqrt")}
DOUBLED_PLACES |= {name: f"if {name}(D, 1) == 1 {{ relu }}" for name in ("count", "divisible", "min", "range")}


def doubled(text: str) -> str:
    """The text with the large value in place of each `D`."""
    return re.sub(r"\bD\b", DOUBLED, text)


@pytest.mark.parametrize("place", DOUBLED_PLACES)
def test_sixty_doublings_are_refused_in_any_place(place: str) -> None:
    before = BEFORE if place == "default of a template" else BEFORE.replace("D", "1")
    body = f"{DOUBLED_PLACES[place]}\n conv(4, 1x1)"
    text = doubled(f"{before}network n {{ input image: 3x8x8\n{body} }}")
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    (diagnostic,) = (each for each in caught.value.diagnostics if each.severity == "error")
    assert diagnostic.code == "E405"
    assert diagnostic.message == "the value would have more than 100000 elements, those of inner lists included"
    assert outcome(text) == ["E405"]


def test_sixty_doublings_are_refused_as_the_input_and_as_an_argument_of_a_derived_network() -> None:
    before = BEFORE.replace("D", "1")
    assert outcome(doubled(f"{before}network n {{ input image: D\n conv(4, 1x1) }}")) == ["E405"]
    base = "network n { input image: 3x8x8\n param p = 4\n conv(p, 1x1) }"
    assert set(outcome(doubled(f"{before}{base}\nnetwork m = n(p=D)"))) <= {"E405", "E504"}


SEARCHED = f"""{BEFORE.replace("D", "1")}
network n {{ input image: 3x8x8
 param p = 4 in 1..8
 param q = [1, 2]
 if q == [1, 2] {{ relu }}
 conv(p, 1x1) }}
"""


@pytest.mark.parametrize("name", ["p", "q", "q[0]"])
def test_sixty_doublings_are_refused_as_an_override(name: str) -> None:
    """The text of an override sees the functions of the file, so it can be as large as the file's values."""
    assert outcome(SEARCHED, **{name: DOUBLED}) == ["E405"]
    with pytest.raises(rx.ArchError, match="more than 100000 elements"):
        rx.loads(SEARCHED, **{name: DOUBLED})


NESTED = "[" * 20 + "1" + " for i in [1, 2]]" * 20
"""A value of 2 ** 20 elements that needs no name of the file."""

SHARED = "[[v, v] for v in [" * 20 + "1" + "]]" * 20
"""Another one, of lists that share their parts: it is refused after a few steps and not after 100,000."""


@pytest.mark.parametrize(
    "options",
    [
        ["--vary", f"p={{1, {NESTED}}}", "--under", "params=1M"],
        ["--vary", f"p=1..{SHARED}", "--under", "params=1M"],
        ["--vary", "p", "--under", f"params={SHARED}"],
        ["--vary", "p", "--match", f"params={SHARED}"],
        ["--vary", "p", "--set", f"q={NESTED}", "--under", "params=1M"],
        ["--vary", "p", "--set", f"q={DOUBLED}", "--under", "params=1M"],
    ],
)
def test_solve_refuses_large_values_in_its_options(options: list[str], tmp_path: Path) -> None:
    spec = tmp_path / "n.arch"
    spec.write_text(SEARCHED, encoding="utf-8")
    start = time.process_time()
    result = CliRunner().invoke(app, ["solve", str(spec), *options])
    assert time.process_time() - start < SECONDS
    assert result.exit_code == 2
    assert "error[E405]" in result.stderr


def test_a_space_refuses_large_values() -> None:
    start = time.process_time()
    with pytest.raises(rx.ArchError, match="more than 100000 elements"):
        space_from(SEARCHED, q=DOUBLED)
    shared: Any = 1
    for _ in range(DOUBLINGS):
        shared = [shared, shared]
    space = space_from(SEARCHED)
    with pytest.raises(rx.ArchError, match="`p` must be an int"):
        space.bind({"p": shared})
    with pytest.raises(rx.ArchError, match=r"`p` must be an int|more than 100000"):
        space.bind({"p": DOUBLED})
    assert time.process_time() - start < SECONDS


COUNTED = {
    "init": "".join(f"stage s{k} {{ conv(4, 1x1) }}\n" for k in range(16))
    + "".join(f"init {{ s{k}.conv.weight = normal(std=a15) }}\n" for k in range(16)),
    "bound": "\n".join(f"budget b{k} {{ params <= a15 }}" for k in range(16)),
    "input of a budget": "\n".join(f"budget b{k}(input=a15) {{ params <= 1M }}" for k in range(16)),
    "measure": "\n".join(f"budget b{k} {{ latency(cpu, a15) <= 1ms }}" for k in range(16)),
    "domain": f"param p = 4 in {{4, {', '.join(['a15'] * 16)}}}\nif p == 4 {{ relu }}",
    "default": "\n".join(
        f"default {name}(kernel=a15)" for name in ("conv", "maxpool", "avgpool", "conv_transpose") * 4
    ),
}


@pytest.mark.parametrize("place", COUNTED)
def test_the_walk_of_an_argument_counts_as_steps(place: str) -> None:
    """Sixteen walks of 65,535 elements exceed a million steps."""
    codes = outcome(f"{chain(15)}network n {{ input image: 3x8x8\n{COUNTED[place]}\nconv(4, 1x1) }}")
    assert "E405" in codes
