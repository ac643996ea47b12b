"""Messages of the language that once pointed the wrong way."""

from __future__ import annotations

import pytest
from error_examples import net
from graph_reading import channels

import resnext_dsl as rx


def wrong(text: str) -> tuple[str, str, str, str]:
    """The code, message, place and hint of the only error."""
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    return diagnostic.code, diagnostic.message, diagnostic.span.text, diagnostic.hint


def test_the_sum_of_an_empty_list_is_0() -> None:
    assert channels("sum([]) + 4") == 4
    assert channels("sum([c for c in [1, 2] if c > 2]) + 1") == 1


@pytest.mark.parametrize("name", ["min", "max"])
def test_an_empty_list_has_no_least_or_greatest_value(name: str) -> None:
    code, message, text, _ = wrong(net(f"conv({name}([]), 1x1)"))
    assert (code, text) == ("E206", f"{name}([])")
    assert message == "`min` and `max` need at least one value; found an empty list"


@pytest.mark.parametrize(
    "body",
    [
        "relu as a; relu as a",
        "stage s { relu as a; gelu as a }",
        "residual { relu as a; relu as a }",
        "repeat 2 { relu } as a; split 2 { relu } merge add as a",
    ],
)
def test_one_name_for_two_values_of_a_block_is_an_error(body: str) -> None:
    with pytest.raises(rx.ArchError, match="two values of a block have the name `a`") as caught:
        rx.loads(net(body))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E102"
    assert diagnostic.span is not None
    (note,) = diagnostic.notes
    assert note.span is not None
    assert note.span.start < diagnostic.span.start
    assert note.message == "`a` is first the name of this value"


def test_values_of_different_blocks_can_have_one_name() -> None:
    assert rx.loads(net("if true { relu as a } else { gelu as a }\nconv(4, 1x1); concat(a)")).ir.nodes


def test_a_multiplication_sign_in_a_shape_names_the_letter() -> None:
    text = "network n { input image: 3\N{MULTIPLICATION SIGN}8\N{MULTIPLICATION SIGN}8\nconv(4, 1x1) }"
    code, _, _, hint = wrong(text)
    assert code == "E002"
    assert hint == "write the letter x in place of `\N{MULTIPLICATION SIGN}`: `3x8x8`"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("--4", 4),
        ("---4 + 8", 4),
        ("8 * 2 ** --1", 16),
        ("round(8 * 2 ** -1)", 4),
        ("4 if not not true else 5", 4),
        ("4 if not not not true else 5", 5),
        ("-2 ** 2 + 8", 4),
        ("round(64 * 2 ** 2 ** -1 / 2 ** 0.5)", 64),
    ],
)
def test_signs_and_negations_can_follow_each_other(expression: str, expected: int) -> None:
    assert channels(expression) == expected


def test_a_negative_exponent_is_the_last_of_a_chain() -> None:
    """Python reads `2 ** -1 ** 2` as `2 ** -(1 ** 2)`, which few readers expect."""
    assert wrong(net("conv(2 ** -1 ** 2, 1x1)"))[0] == "E002"


@pytest.mark.parametrize("expression", ["-" * 5000 + "4", "not " * 5000 + "true"])
def test_a_long_chain_of_signs_is_nested_too_deep(expression: str) -> None:
    with pytest.raises(rx.ArchError, match="the spec is nested too deep") as caught:
        rx.loads(net(f"let z = {expression}"))
    assert caught.value.diagnostics[0].code == "E403"


TIMES = "\N{MULTIPLICATION SIGN}"

BEFORE = "name a value with `as NAME` before it is used"
ELEMENT = "name the element first: `let op = ops[...]`, then `op` or `op(...)`"
CALLABLE = "name the value first: `let f = ...`, then `f(...)`"
EARLY = "read it in statements: by a `let` inside a part, or as in `concat(NAME)` and `use NAME`"
OUTSIDE = "declare it in the network, outside of all blocks"


def of_network(name: str) -> str:
    return f"`{name}` is a value of the network, which parameters and constants of the network cannot read"


def reserved(word: str) -> tuple[str, str, str, str]:
    return "E002", f"`{word}` is a reserved word, not a name", word, f"choose another name, such as `{word}_`"


MESSAGES = {
    "repeat 2 as i { relu as a; use all[i] }": ("E101", "unknown name `all`", "all", BEFORE),
    "relu as a; use a(3)": ("E207", "`a` is a value, not a function", "a", ""),
    "relu as a; use [a, b]": ("E101", "unknown name `b`", "b", BEFORE),
    "let ops = [relu, gelu]; ops[1]": ("E002", "a statement calls a name; found `[`", "[", ELEMENT),
    "let ops = [relu, conv]; ops[1](3, 1x1)": ("E002", "a statement calls a name; found `[`", "[", ELEMENT),
    "let ops = [relu, conv]; let op = ops[1](3)": ("E002", "only a name can be called; found `(`", "(", CALLABLE),
    "let op = conv(3)(1x1)": ("E002", "only a name can be called; found `(`", "(", CALLABLE),
    "relu as a; let z = a; z": ("E101", of_network("a"), "a", EARLY),
    "stem { relu }; let z = stem; concat(z)": ("E101", of_network("stem"), "stem", EARLY),
    "stem { relu as a }; param z = a; concat(z)": ("E101", of_network("a"), "a", EARLY),
    "let z = image; concat(z)": ("E101", of_network("image"), "image", EARLY),
    "stem { let k = 4; conv(k, 1x1) }; stage s { conv(k, 3x3) }": (
        "E101",
        "`k` is a constant of another block",
        "k",
        OUTSIDE,
    ),
    "if true { let k = 4; conv(k, 1x1) }; conv(k, 3x3)": ("E101", "`k` is a constant of another block", "k", OUTSIDE),
    "template t(from) { relu }": reserved("from"),
    "template t(a, if = 3) { relu }": reserved("if"),
    "template from { relu }": reserved("from"),
    "fn f(in) = 3": reserved("in"),
    "let for = 3": reserved("for"),
    "param else = 3": reserved("else"),
    "relu as repeat": reserved("repeat"),
    "conv(4, 1x1, from=3)": reserved("from"),
    f"let s = 3{TIMES}8": ("E002", f"`3{TIMES}8` is not a number or a shape", f"3{TIMES}8", f"write the letter x in place of `{TIMES}`: `3x8`"),
    f"let s = 3{TIMES}k": ("E002", f"`3{TIMES}k` is not a number or a shape", f"3{TIMES}k", f"write the letter x in place of `{TIMES}`: `3 x k`"),
    f"let k = 8; let s = 3 {TIMES} k": (
        "E001",
        f"unexpected character `{TIMES}` (U+00D7 MULTIPLICATION SIGN)",
        TIMES,
        "write the letter x: `3 x k`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("body", MESSAGES)
def test_a_message_names_the_mistake(body: str) -> None:
    assert wrong(net(body)) == MESSAGES[body]


def test_a_constant_of_another_block_shows_its_declaration_and_the_calls() -> None:
    with pytest.raises(rx.ArchError, match="is a constant of another block") as caught:
        rx.loads(net("stem { let k = 4; conv(k, 1x1) }; stage s { conv(k, 3x3) }"))
    (diagnostic,) = caught.value.diagnostics
    (note,) = diagnostic.notes
    assert note.message == "`k` is declared here, for its own block only"
    assert note.span is not None
    assert note.span.column == len("    stem { let k")
    assert [call.message for call in diagnostic.trail] == ["stage `s`"]


@pytest.mark.parametrize(
    "body", ["stem { relu }; stage s { let z = stem; relu; concat(z) }", "relu as a; stage s { let z = a; concat(z) }"]
)
def test_a_constant_of_a_part_can_be_a_value_of_the_network(body: str) -> None:
    assert rx.loads(net(body)).ir.nodes[-1].operator == "concat"


@pytest.mark.parametrize(
    "body",
    [
        "stage s repeat 3 { conv(4, 1x1) as a; relu; use a }",
        "template t { conv(4, 1x1) as a; relu; use a }\nt\nt\nstage s repeat 3 { t }",
        "split 4 { conv(4, 1x1) as a; relu; use a } merge add",
        "for c in [3, 4, 5] { conv(c, 1x1) as a; relu; use a }",
    ],
)
def test_an_operator_without_effect_is_one_warning_for_all_its_instances(body: str) -> None:
    (warning,) = rx.loads(net(body)).warnings
    assert (warning.code, warning.message) == ("W902", "the value of `relu` is never used, so the operator is left out")


@pytest.mark.parametrize("argument", ["true", "1.5", '"a"', "[1]"])
def test_range_takes_ints_only(argument: str) -> None:
    code, message, _, _ = wrong(net(f"conv(sum(range({argument})) + 1, 1x1)"))
    assert code == "E204"
    assert "`range`" in message


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1.5 ** 2 * 100", 225),
        ("4 ** 0.5", 2),
        ("2 ** -1 * 8", 4),
        ("(-2) ** 2", 4),
        ("2 ** 10", 1024),
        ("-7 // 2 + 5", 1),
        ("-7 % 3 + 1", 3),
        ("7 / 2 * 2", 7),
    ],
)
def test_numbers_follow_python(expression: str, value: int) -> None:
    assert channels(f"floor({expression})") == value


def test_a_number_has_no_elements() -> None:
    code, message, text, _ = wrong(net("let a = 3\n    conv(a[0], 1x1)"))
    assert (code, text) == ("E204", "a[0]")
    assert message == "only a list or a shape has elements; found 3"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_path_that_no_file_can_have_is_an_error(name: str) -> None:
    with pytest.raises(rx.ArchError, match="characters that a file name cannot contain") as caught:
        rx.load(name)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E505"]


@pytest.mark.parametrize(
    ("word", "operator", "equal"),
    [("bn", "bn", True), ("bn", "relu", False), ("bn", "bn(eps=1e-3)", False), ("conv", "conv(kernel=3)", False)],
)
def test_a_word_equals_the_operator_without_arguments(word: str, operator: str, equal: bool) -> None:
    for text in (f'"{word}" == {operator}', f'{operator} == "{word}"'):
        assert channels(f"8 if {text} else 4") == (8 if equal else 4)


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        ("conv(chanels=8, kernel=3)", "E201", "chanels"),
        ("conv(kernel=3)", "E202", "conv"),
        ("unit(cc=8)", "E201", "cc"),
        ("unit()", "E202", "unit"),
    ],
)
def test_a_misspelt_argument_is_the_only_error_of_a_call(call: str, code: str, text: str) -> None:
    found = wrong(net(call, "template unit(c) { conv(c, 1x1) }\n" if "unit" in call else ""))
    assert (found[0], found[2]) == (code, text)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("a == 3", "`==` does not accept a value and an int"),
        ("3 != a", "`!=` does not accept an int and a value"),
        ("a == b", "`==` does not accept a value and a value"),
        ("[a] == [3]", "`==` does not accept a list and a list"),
    ],
)
def test_values_of_the_network_cannot_be_compared(condition: str, message: str) -> None:
    text = f"network n {{ input image: 3x8x8\n conv(4, 1x1) as a\n relu as b\n if {condition} {{ relu }} }}"
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.span.text) == ("E204", message, condition)


@pytest.mark.parametrize(
    ("argument", "name"), [("padding=same_upper", "padding=same_upper"), ("standardize=true", "standardize=true")]
)
def test_arguments_of_images_are_refused_for_signals(argument: str, name: str) -> None:
    code, message, place, _ = wrong(f"network n {{ input x: 2x33\n conv(4, 3, {argument}) }}")
    assert (code, place) == ("E301", argument.partition("=")[2])
    assert message == f"`{name}` takes only feature maps of channels x height x width; found 2x33"
