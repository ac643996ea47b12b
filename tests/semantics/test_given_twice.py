"""Two statements for one thing: an error with both places, wherever the last one would win without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from error_examples import net
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic

DECLARED = "`{}` is declared twice"
VALUES = "two values of a block have the name `{}`"

TWICE = [
    ("default bn(eps=1e-3)\ndefault bn(eps=1e-2)\nbn", "E102", "`eps` of `bn` has a default already", "eps=1e-2"),
    ("default conv(kernel=1x1)\ndefault conv(4, 3x3)\nconv", "E102", "`kernel` of `conv` has a default already", "3x3"),
    ("default bn(eps=1, eps=2)\nbn", "E203", "`bn` has the argument `eps` twice", "eps"),
    (
        "init { conv.weight = zeros; conv.weight = ones }\nconv(4, 1x1)",
        "E102",
        "`conv.weight` has a rule already",
        "conv.weight",
    ),
    (
        "init { stem.conv.weight = zeros }\ninit { stem.conv.weight = ones }\nstem { conv(4, 1x1) }",
        "E102",
        "`stem.conv.weight` has a rule already",
        "stem.conv.weight",
    ),
    (
        "init { conv.weight = normal(std=0.1, std=0.2) }\nconv(4, 1x1)",
        "E203",
        "`normal` has the argument `std` twice",
        "std=0.2",
    ),
    (
        "init { conv.weight = normal(0.1, std=0.2) }\nconv(4, 1x1)",
        "E203",
        "`normal` has the argument `std` twice",
        "std=0.2",
    ),
    ("relu\nbudget { params <= 1 }\nbudget { flops <= 1 }", "E102", "a second budget without a name", "budget"),
    ("param p = 1\nparam p = 2\nconv(p, 1x1)", "E102", DECLARED.format("p"), "p"),
    ("let p = 1\nlet p = 2\nconv(p, 1x1)", "E102", DECLARED.format("p"), "p"),
    ("stage s { let p = 1\nlet p = 2\nconv(p, 1x1) }", "E102", DECLARED.format("p"), "p"),
    ("repeat 2 { let p = 1\nlet p = 2\nconv(p, 1x1) }", "E102", DECLARED.format("p"), "p"),
    ("template t(a, a) { conv(a, 1x1) }\nrelu", "E102", DECLARED.format("a"), "a"),
    ("template t(a, a) { conv(a, 1x1) }\nt(3, 4)", "E102", DECLARED.format("a"), "a"),
    ("fn f(a, a) = a\nconv(f(3, 4), 1x1)", "E102", DECLARED.format("a"), "a"),
    ("fn f(a, a) = a\nrelu", "E102", DECLARED.format("a"), "a"),
    ("fn f(_, _) = 4\nrelu", "E102", DECLARED.format("_"), "_"),
    ("for a, a in [[1, 2]] { conv(a, 1x1) }", "E102", DECLARED.format("a"), "a"),
    ("conv([a for a, a in [[1, 2]]][0], 1x1)", "E102", DECLARED.format("a"), "a"),
    ("fn f(a) = a\nfn f(b) = b\nconv(f(1), 1x1)", "E102", DECLARED.format("f"), "f"),
    ("stage s { relu }\nstage s { gelu }", "E102", DECLARED.format("s"), "s"),
    ("stem { relu }\nstem { gelu }", "E102", DECLARED.format("stem"), "stem"),
    ("stage s { relu }\nconv(3, 1x1) as s", "E102", VALUES.format("s"), "s"),
    ("conv(3, 1x1) as s\nstage s { relu }", "E102", VALUES.format("s"), "s"),
    ("stage s { relu } as q\nstage r { relu } as q", "E102", VALUES.format("q"), "q"),
    ("relu as image", "E102", VALUES.format("image"), "image"),
    ("relu\noutput aux { relu }\noutput aux { gelu }", "E102", DECLARED.format("aux"), "aux"),
    ("stage aux { relu }\noutput aux { gelu }", "E102", DECLARED.format("aux"), "aux"),
    ("relu as a\ngelu as b\noutput aux from a\noutput aux from b", "E102", DECLARED.format("aux"), "aux"),
    ("param p = 1 in {1, 1}\nconv(p, 1x1)", "E102", "`1` occurs twice in the domain", "1"),
    ("param p = 1 in {1, 3 - 2}\nconv(p, 1x1)", "E102", "`3 - 2` occurs twice in the domain", "3 - 2"),
    ("param p = relu in {relu, relu()}\np", "E102", "`relu()` occurs twice in the domain", "relu()"),
    ("param p = 0.5 in {0.5, 1 / 2}\ndropout(p)", "E102", "`1 / 2` occurs twice in the domain", "1 / 2"),
    ("param p = [1] in [{1, 3 - 2}]\nconv(p[0], 1x1)", "E102", "`3 - 2` occurs twice in the domain", "3 - 2"),
]


def only_error(problem: ArchError) -> Diagnostic:
    (diagnostic,) = (each for each in problem.diagnostics if each.severity == "error")
    return diagnostic


@pytest.mark.parametrize(("body", "code", "message", "text"), TWICE)
def test_the_second_statement_is_an_error_that_shows_the_first(body: str, code: str, message: str, text: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(body))
    diagnostic = only_error(caught.value)
    assert diagnostic.span is not None
    assert (diagnostic.code, diagnostic.message, diagnostic.span.text) == (code, message, text)
    (note,) = diagnostic.notes
    assert note.span is not None
    assert note.span.start < diagnostic.span.start


ONCE = [
    "default bn(eps=1e-3)\ndefault bn(momentum=0.2)\nbn",
    "default bn(eps=1e-3)\ndefault groupnorm(eps=1e-3)\nbn",
    "init { conv.weight = zeros; stem.conv.weight = ones; conv.bias = zeros }\nstem { conv(4, 1x1) }",
    "let p = 4\nstage s { let p = p + 1\nconv(p, 1x1) }\nconv(p, 1x1)",
    "if true { let p = 1\nconv(p, 1x1) } else { let p = 2\nconv(p, 1x1) }",
    "for _, a, _ in [[1, 2, 3]] { conv(a, 1x1) }",
    "stage s { relu } as s\nconv(3, 1x1)",
    "param p = 1 in {1, 2}\nparam q = 1.5 in {1.5, 1}\nconv(p, 1x1)\nif q < 1 { relu }",
]


@pytest.mark.parametrize("body", ONCE)
def test_statements_for_different_things_can_stand_together(body: str) -> None:
    assert not [each.message for each in rx.loads(net(body)).warnings]


def test_the_output_of_the_network_has_a_name_that_no_other_output_can_have() -> None:
    with pytest.raises(rx.ArchError, match="`main` is the name of the output of the network itself") as caught:
        rx.loads(net("relu as a\ngelu\noutput main from a"))
    assert only_error(caught.value).hint == "give this output another name"


BASE = """network n {
    input image: 3x8x8
    param p = 4
    init { conv.weight = zeros }
    default bn(eps=1e-3)
    conv(p, 1x1); bn
}
"""


def derived(body: str, folder: Path) -> rx.Network:
    (folder / "base.arch").write_text(BASE, encoding="utf-8")
    (folder / "derived.arch").write_text(f'from "base.arch" import n\nnetwork m = n{body}\n', encoding="utf-8")
    return rx.load(folder / "derived.arch")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("(p=1, p=2)", "E203", "`n` has the argument `p` twice"),
        ("() { default bn(eps=1); default bn(eps=2) }", "E102", "`eps` of `bn` has a default already"),
        ("() { init { conv.weight = ones; conv.weight = ones } }", "E102", "`conv.weight` has a rule already"),
    ],
)
def test_a_derived_network_cannot_state_one_thing_twice(body: str, code: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(body, tmp_path)
    diagnostic = only_error(caught.value)
    assert (diagnostic.code, diagnostic.message) == (code, message)
    assert len(diagnostic.notes) == 1


def test_a_derived_network_can_state_again_what_its_base_states(tmp_path: Path) -> None:
    network = derived("() { default bn(eps=1e-2); init { conv.weight = ones } }", tmp_path)
    (bn,) = (node for node in network.ir.nodes if node.operator == "bn")
    assert bn.attributes is not None
    assert bn.attributes.eps == 0.01
    assert [rule.scheme for rule in network.init] == ["zeros", "ones"]  # the later one holds


@pytest.mark.parametrize("command", [["check"], ["solve", "--vary", "cardinality", "--under", "params=1G"]])
def test_a_setting_that_is_given_twice_is_an_error(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "resnext50_32x4d", "--set", "width=4", "--set", " width = 8"])
    assert result.exit_code == 2
    assert result.stderr == "error: `width` has two values by --set\n"
