"""Hypothesis strategies for texts of the language: whole files of every construct, with comments and spaces anywhere.

The texts are well formed; names and shapes in them need not make sense.
"""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis import strategies as st

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.lexer import lex
from resnext_dsl.syntax.parse import parse

AS_FOUND = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Settings for large examples: a failing one is shown as it is found, since making it smaller takes minutes."""

names = st.sampled_from(["a", "b", "conv", "relu", "block", "width", "step", "x", "path", "input", "head", "shortcut"])
plain_names = st.sampled_from(["a", "b", "conv", "relu", "block", "width", "channels_that_the_last_stage_puts_out"])
spaces = st.sampled_from(["", " ", "  ", "\t"])
comments = st.sampled_from(["# one", "#two", "## doc", "#", "# { ( [ ;"])
numbers = st.sampled_from(["0", "1", "64", "0.5", "1e-3", "25.1M", "2K", "3x3", "3x224x224", "true", "false", '"a b"'])


def between(*parts: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    """The parts in a row, with a space (or several) between them."""
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map(" ".join)


def listed(items: st.SearchStrategy[str], least: int = 0, most: int = 3) -> st.SearchStrategy[str]:
    """Items with commas between them, over several lines at times."""
    commas = st.sampled_from([",", ", ", " , ", ",\n", ", # why\n"])
    return st.tuples(st.lists(items, min_size=least, max_size=most), commas).map(lambda pair: pair[1].join(pair[0]))


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or"])
    grouped = inner.map(lambda text: f"({text})")
    return st.one_of(
        st.tuples(grouped, infix, grouped).map(" ".join),
        grouped,
        grouped.map(lambda text: f"-{text}"),
        grouped.map(lambda text: f"not {text}"),
        st.tuples(grouped, grouped, grouped).map(lambda t: f"{t[0]} if {t[1]} else {t[2]}"),
        st.tuples(grouped, grouped).map(lambda t: f"{t[0]} x {t[1]}"),
        st.tuples(plain_names, arguments(inner)).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(plain_names, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        listed(inner).map(lambda text: f"[{text}]"),
        listed(inner, 1).map(lambda text: f"[\n{text},]"),
        st.lists(numbers, min_size=20, max_size=40).map(lambda texts: f"[{', '.join(texts)}]"),
        st.tuples(plain_names, inner, inner).map(lambda t: f"{t[0]}[{t[1]}][{t[2]}]"),
        st.tuples(grouped, grouped, grouped).map(lambda t: f"{t[0]} - {t[1]} +\n{t[2]}"),
        st.tuples(grouped, grouped).map(lambda t: f"{t[0]} x\n3 x {t[1]}"),
        st.tuples(inner, plain_names, grouped).map(lambda t: f"[{t[0]} for {t[1]} in {t[2]}]"),
        st.tuples(inner, grouped, grouped).map(lambda t: f"[{t[0]} for a, b in {t[1]} if {t[2]}]"),
    )


def arguments(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arguments of a call, some of them named."""
    named = st.tuples(names, spaces, values).map(lambda t: f"{t[0]}{t[1]}={t[1]}{t[2]}")
    return listed(st.one_of(values, named))


expressions = st.recursive(st.one_of(numbers, plain_names), _deeper, max_leaves=5)
aliases = st.sampled_from(["", "", "", " as v"])
calls = st.one_of(plain_names, st.tuples(plain_names, arguments(expressions)).map(lambda t: f"{t[0]}({t[1]})"))
simple = st.one_of(
    st.tuples(calls, aliases).map("".join),
    st.just("use a"),
    expressions.map(lambda text: f"let q = {text}"),
)


def block(statements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Statements in braces, on one line or several, with comments."""
    ends = st.sampled_from(["; ", "\n", "\n\n", " # note\n", "\n# above\n", "\n\n\n  ## doc\n"])

    def join(drawn: tuple[list[tuple[str, str]], bool, str]) -> str:
        pairs, comment, opening = drawn
        text = "".join(statement + end for statement, end in pairs)
        return f"{{{opening}{text}{'# last' if comment else ''}{chr(10) if comment or '#' in opening else ''}}}"

    pairs = st.lists(st.tuples(statements, ends), max_size=3)
    return st.tuples(pairs, st.booleans(), st.sampled_from(["", " ", "\n", " # open\n"])).map(join)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = block(inner)
    path = body.map(lambda text: f"path {text}")
    return st.one_of(
        between("repeat", expressions, body),
        st.tuples(expressions, body, aliases).map(lambda t: f"repeat {t[0]} as i {t[1]}{t[2]}"),
        st.tuples(expressions, body, aliases).map(lambda t: f"for a, b in {t[0]} {t[1]}{t[2]}"),
        between("if", expressions, body),
        st.tuples(expressions, body, body, body).map(lambda t: f"if {t[0]} {t[1]} else if b {t[2]} else {t[3]}"),
        st.tuples(expressions, body, calls).map(lambda t: f"split {t[0]} {t[1]} merge {t[2]}"),
        st.tuples(body, aliases).map(lambda t: f"split 4 slice as i {t[0]} merge concat{t[1]}"),
        st.tuples(path, path).map(lambda t: f"split {{ {t[0]} {t[1]} }} merge add"),
        st.tuples(path, path).map(lambda t: f"split slice\n{{\n{t[0]}\n{t[1]}\n}}\nmerge add\nas v"),
        st.tuples(path, path).map(
            lambda t: f"split {{ {t[0]}; if a {{ {t[1]} }} else if b {{ path {{ relu }} }} }} merge add"
        ),
        st.tuples(path, path).map(
            lambda t: f"split {{ repeat 3 as i {{ {t[0]} }} for a, b in c {{\n{t[1]} }} }} merge add"
        ),
        between("residual", body),
        body.map(lambda text: f"residual(when=a == 1, shortcut=skip) {text}"),
        st.tuples(body, body).map(lambda t: f"residual(shortcut = skip) {t[0]}\nshortcut {t[1]}"),
    )


statements = st.recursive(simple, _compound, max_leaves=6)
choices = st.one_of(
    listed(expressions, 1).map(lambda text: f"{{{text}}}"),
    st.sampled_from(["1..64", "8 .. 512 step 8", "1e-4..1e-1 log", "a..(b) step 2"]),
)
domains = st.one_of(
    st.just(""),
    st.tuples(
        st.one_of(choices, listed(choices, 1).map(lambda text: f"[{text}]")),
        st.one_of(st.just(""), expressions.map(lambda text: f"\n when {text}")),
    ).map(lambda pair: f" in {pair[0]}{pair[1]}"),
)
formals = listed(st.one_of(names, st.tuples(names, expressions).map(lambda t: f"{t[0]} = {t[1]}")))
amounts = st.sampled_from(["5ms", "1.5us", "20ns", "2s", "64MiB", "100MB", "1e3B"])
measures = st.one_of(
    st.sampled_from(["params", "conv3.flops", "head.params", "s.0.paths.7.conv.activations", "x.repeat.0.depth"]),
    arguments(expressions).map(lambda text: f"latency({text})"),
)
limits = st.one_of(
    st.tuples(measures, st.sampled_from(["<=", "<", ">=", ">", "=="]), expressions).map(" ".join),
    st.tuples(measures, amounts).map(lambda t: f"{t[0]}<={t[1]}"),
    st.tuples(measures, amounts, amounts).map(lambda t: f"{t[0]} in {t[1]} .. {t[2]}"),
    measures.map(lambda text: f"{text} in 1K..4.3G"),
)
conditions = st.one_of(st.just(""), arguments(expressions).map(lambda text: f"({text})"))
steps = st.one_of(names, st.sampled_from(["repeat", "stem", "merge", "true", "0.paths", "12.shortcut", "0.in.7.as"]))
fields = st.sampled_from(["weight", "bias"])
dots = st.sampled_from([".", " . ", ".\n", ". # why\n"])
targets = st.tuples(names, st.lists(steps, max_size=3), fields, dots).map(lambda t: t[3].join([t[0], *t[1], t[2]]))
init_rules = st.tuples(targets, calls).map(" = ".join)
entries = st.one_of(
    statements,
    st.tuples(names, expressions, domains).map(lambda t: f"param {t[0]} = ({t[1]}){t[2]}"),
    expressions.map(lambda text: f"param a: list = ({text})"),
    expressions.map(lambda text: f'require ({text}), "why"'),
    arguments(expressions).map(lambda text: f"default bn({text})"),
    st.lists(init_rules, max_size=3).map(lambda rules: f"init {{ {'; '.join(rules)} }}"),
    st.just("input image: 3x32x32"),
    st.tuples(st.sampled_from(["", " small", " head"]), conditions, block(limits)).map(
        lambda t: f"budget{t[0]}{t[1]} {t[2]}"
    ),
    block(statements).map(lambda text: f"stem {text}"),
    block(statements).map(lambda text: f"stage s repeat 3 as i {text} as t"),
    block(statements).map(lambda text: f"output aux when training from s {text}"),
    st.just("output aux from s"),
    block(statements).map(lambda text: f"head {text}"),
)
items = st.one_of(
    st.just('import "a.arch"'),
    st.just("from std.blocks import basic, bottleneck as b"),
    expressions.map(lambda text: f"let a = {text}"),
    expressions.map(lambda text: f"fn f(a, b) = {text}"),
    st.tuples(formals, block(statements)).map(lambda t: f"template t({t[0]}) {t[1]}"),
    block(entries).map(lambda text: f"network n {text}"),
    block(statements).map(lambda text: f"template t {text}"),
    expressions.map(lambda text: f"fn constant() = {text}"),
    arguments(expressions).map(lambda text: f"network n = base({text})"),
    st.tuples(arguments(expressions), block(entries)).map(lambda t: f"network n = base({t[0]}) {t[1]}"),
)
ends = st.sampled_from(["\n", "\n\n\n", " # end\n", "\r\n", "\n# own\n"])
files = st.lists(st.tuples(items, ends), max_size=4).map(lambda pairs: "".join(item + end for item, end in pairs))


@st.composite
def commented_files(draw: st.DrawFn) -> str:
    """Files with comments and line ends beside any token, wherever the text stays well formed."""
    text = draw(files)
    inserted = st.sampled_from([" # c\n", "\n# c\n", " ## d\n", "\n## d\n", "\n\n# c\n\n", "\n", ";", "\t"])
    for place, after, addition in draw(st.lists(st.tuples(st.integers(0, 999), st.booleans(), inserted), max_size=5)):
        source = Source("<test>", text)
        tokens = lex(source, DEFAULTS).tokens
        token = tokens[place * len(tokens) // 1000]
        offset = token.end if after else token.start
        candidate = source.text[:offset] + addition + source.text[offset:]
        try:
            parse(Source("<test>", candidate))
        except ArchError:
            continue
        text = candidate
    return text
