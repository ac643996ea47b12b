"""Names across files: a library that two files import, and names in templates that nothing calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from error_examples import net

import resnext_dsl as rx

FILES = {
    "base.arch": "template unit(c) { conv(c, 1x1); relu }\n",
    "left.arch": 'from "base.arch" import unit\ntemplate left(c) { unit(c) }\n',
    "right.arch": 'from "base.arch" import unit\ntemplate right(c) { unit(c); unit(c) }\n',
}


def test_two_files_may_import_one_library(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    imports = 'from "left.arch" import left\nfrom "right.arch" import right\n'
    network = rx.loads(net("left(4); right(8)", imports), root=tmp_path)
    assert [node.shape[0] for node in network.ir.nodes[1:]] == [4, 4, 8, 8, 8, 8]


@pytest.mark.parametrize("default", ["missing", "[missing]", "1 if missing else 2"])
def test_a_default_of_a_template_that_nothing_calls_is_checked(default: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("relu", f"template t(c, d = {default}) {{ conv(c + d, 1x1) }}\n"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E101"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "missing"


@pytest.mark.parametrize(
    "body",
    [
        "residual(shortcut = missing) { relu }",
        "residual { relu } shortcut { conv(missing, 1x1) }",
        "split missing { relu } merge add",
        "split { path { conv(missing, 1x1) } } merge concat",
        "repeat missing { relu }",
        "for x in missing { conv(x, 1x1) }",
        "if missing { relu } else { gelu }",
        "if true { relu } else { conv(missing, 1x1) }",
        "let a = missing; conv(a, 1x1)",
        "conv(4, 1x1, stride=missing)",
        "relu; use missing",
    ],
)
def test_a_body_of_a_template_that_nothing_calls_is_checked(body: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("relu", f"template t() {{ {body} }}\n"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code in ("E101", "E103")
    assert diagnostic.span is not None
    assert diagnostic.span.text == "missing"


def test_a_constant_of_the_file_that_nothing_reads_is_checked() -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("relu", "let a = [1, missing]\n"))
    assert [(d.code, d.span and d.span.text) for d in caught.value.diagnostics if d.severity == "error"] == [
        ("E101", "missing")
    ]


def test_a_circle_of_imports_is_shown_without_the_way_to_it(tmp_path: Path) -> None:
    texts = {
        "main.arch": 'from "b.arch" import unit\n' + net("unit"),
        "b.arch": 'from "c.arch" import unit\n',
        "c.arch": 'from "d.arch" import unit\n',
        "d.arch": 'from "b.arch" import unit\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(rx.ArchError) as caught:
        rx.load(tmp_path / "main.arch")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (
        "E503",
        "circular import: b.arch -> c.arch -> d.arch -> b.arch",
    )
    assert diagnostic.span is not None
    assert diagnostic.span.source.name.endswith("d.arch")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet51", "`resnet51` is neither a file nor a shipped network"),
        ("nets/resnet51", "there is no file `nets/resnet51`"),
        ("resnet51.arch", "there is no file `resnet51.arch`"),
    ],
)
def test_a_spec_that_is_missing_is_called_a_file_or_a_network(text: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.load(text)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E505", message)


@pytest.mark.parametrize(
    ("constants", "unused"),
    [
        ("let b = 4\nlet a = f(b)\n", []),
        ("let b = 4\nlet a = [b, 2][0]\n", ["f"]),
        ("let b = 4\nlet a = 3\n", ["f", "b"]),
    ],
)
def test_a_name_that_a_constant_of_the_file_reads_is_used(constants: str, unused: list[str]) -> None:
    network = rx.loads(net("conv(a, 1x1)", f"fn f(x) = x + 1\n{constants}"))
    assert [warning.message for warning in network.warnings] == [
        f"`{name}` is declared and never used" for name in unused
    ]
