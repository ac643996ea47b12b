"""Messages of syntax errors: the token that is there, and the tokens that may stand there."""

from __future__ import annotations

import pytest
from error_examples import net

import resnext_dsl as rx


def wrong(text: str) -> tuple[str, str, str]:
    """The code, message and hint of the first error."""
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    first = caught.value.diagnostics[0]
    return first.code, first.message, first.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network", "found the end of the file, expected a name"),
        ("network n", "found the end of the file, expected `=` or `{`"),
        ("template t(a) relu", "found `relu`, expected `{`"),
        ("1", "found `1`, expected `fn`, `from`, `import`, `let`, `network`, ... or `template`"),
        (net("param a = }"), "found `}`, expected a value"),
        (net("let a 3"), "found `3`, expected `=`"),
        (net("repeat 3 relu"), "found `relu`, expected `as` or `{`"),
        (net("if true relu"), "found `relu`, expected `{`"),
        (net("budget { params 3 }"), "found `3`, expected `(`, `.`, `in` or a comparison"),
        (net("conv(4, 1x1) as 3"), "found `3`, expected a name"),
        (net("conv(4, 1x1) as (a)"), "found `(`, expected a name"),
        (net("for 3 in [1] { relu }"), "found `3`, expected a name"),
    ],
)
def test_the_message_has_what_may_stand_there(text: str, message: str) -> None:
    code, found, _ = wrong(text)
    assert (code, found) == ("E002", message)


@pytest.mark.parametrize("text", ["template { relu }", "template (a) { relu }", "template 3 { relu }"])
def test_a_template_without_a_name_is_told_so(text: str) -> None:
    _, message, hint = wrong(text)
    assert message.startswith("a template needs a name; found ")
    assert hint == "write `template NAME(parameters) { ... }`"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (net("repat 3 { relu }"), "did you mean `repeat`?"),
        ("networc n { input image: 3x8x8 }", "did you mean `network`?"),
        (net("relu; splitt 2 { relu } merge add"), "did you mean `split`?"),
    ],
)
def test_a_word_that_is_nearly_a_keyword_has_a_hint(text: str, hint: str) -> None:
    assert wrong(text)[2] == hint


def test_a_long_number_is_cut_in_the_message() -> None:
    digits = "1" * 60 + "e300"
    code, message, hint = wrong(net(f"let a = {digits}"))
    assert (code, message) == ("E205", f"the number `{digits[:40]}` is out of range")
    assert hint == "numbers range from 1e-300 to 1e300"
