"""Entries of a derived network: settings hold, and parts and definitions replace those of the base."""

from __future__ import annotations

from pathlib import Path

import pytest
from space_oracle import check

import resnext_dsl as rx
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.spaces.space import space_of

BASE = """network base {
    input image: 3x8x8
    param k = 4
    let wide = twice(k)
    fn twice(c) = c * 2
    template unit(c) { conv(c, 1x1); relu }
    conv(k, 3x3); bn
    stage tail { unit(wide) }
    output early from image { conv(1, 1x1) }
    head { avgpool(global); flatten; linear(10) }
}
"""


def derived(folder: Path, entries: str) -> rx.Network:
    (folder / "base.arch").write_text(BASE)
    return rx.loads(f'from "base.arch" import base\nnetwork other = base(k=5) {{\n    {entries}\n}}\n', root=folder)


STATEMENTS = [
    "relu",
    "use image",
    "repeat 3 { relu }",
    "for i in [1] { relu }",
    "if k > 1 { relu }",
    "split 2 { relu } merge add",
    "residual { relu }",
]


@pytest.mark.parametrize("entry", STATEMENTS)
def test_a_statement_replaces_nothing(entry: str, tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, entry)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (
        "E105",
        "the derived network `other` can replace parts and definitions of its base; this entry replaces none",
        "put it into a part or a template that replaces one of the base; or write a network in full",
    )
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.text) == (3, entry)


NOTHING = [
    ("stem { relu }", "the stem, which `base` does not have", "it has no stem"),
    ("stage tial { relu }", "the stage `tial`, which `base` does not have", "did you mean `tail`?"),
    ("stage image { relu }", "the stage `image`, which `base` does not have", "it has: `tail`"),
    ("output o { relu }", "the output `o`, which `base` does not have", "it has: `early`"),
    ("input x: 3x9x9", "the input `x`, which `base` does not have", "it has: `image`"),
    ("let z = 3", "the constant `z`, which `base` does not have", "it has: `wide`"),
    ("fn unit() = 3", "the function `unit`, which `base` does not have", "it has: `twice`"),
    ("template twice(c) { relu }", "the template `twice`, which `base` does not have", "it has: `unit`"),
]


@pytest.mark.parametrize(("entry", "message", "hint"), NOTHING)
def test_a_replacement_of_nothing_is_an_error(entry: str, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, entry)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E101", f"the derived network `other` replaces {message}")
    assert diagnostic.hint == hint
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.text) == (3, entry)


def test_a_parameter_is_given_in_the_parentheses(tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError, match="this entry replaces none") as caught:
        derived(tmp_path, "param k = 3")
    assert caught.value.diagnostics[0].hint == "give the value of a parameter to the base: `base(k=...)`"


def test_every_entry_without_effect_is_listed(tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, "let z = 3\n    relu")
    assert [each.span.line for each in caught.value.diagnostics if each.span is not None] == [3, 4]


def test_one_thing_is_replaced_once(tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError, match="`tail` is replaced twice") as caught:
        derived(tmp_path, "stage tail { relu }\n    stage tail { gelu }")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E102"
    assert [note.span.line for note in diagnostic.notes if note.span is not None] == [3]


@pytest.mark.parametrize(
    ("entries", "body"),
    [
        ("", "conv 5, bn 5, conv 10, relu 10, avgpool 10, flatten 10, linear 10"),
        (
            "head { avgpool(global); flatten; linear(7) }",
            "conv 5, bn 5, conv 10, relu 10, avgpool 10, flatten 10, linear 7",
        ),
        (
            "stage tail repeat 2 { unit(k) }",
            "conv 5, bn 5, conv 5, relu 5, conv 5, relu 5, avgpool 5, flatten 5, linear 10",
        ),
        ("fn twice(c) = c * 3", "conv 5, bn 5, conv 15, relu 15, avgpool 15, flatten 15, linear 10"),
        ("let wide = k + 1", "conv 5, bn 5, conv 6, relu 6, avgpool 6, flatten 6, linear 10"),
        (
            "template unit(c) { conv(c, 1x1); gelu }",
            "conv 5, bn 5, conv 10, gelu 10, avgpool 10, flatten 10, linear 10",
        ),
        ("input image: 1x8x8", "conv 5, bn 5, conv 10, relu 10, avgpool 10, flatten 10, linear 10"),
    ],
)
def test_what_a_derived_network_replaces(entries: str, body: str, tmp_path: Path) -> None:
    network = derived(tmp_path, entries)
    graph = network.ir
    main = [f"{node.operator} {node.shape[0]}" for node in graph.nodes[1:] if not node.name.startswith("early")]
    assert ", ".join(main) == body
    assert graph.nodes[0].shape == ((1, 8, 8) if "input" in entries else (3, 8, 8))
    model = network.compile()
    assert sum(parameter.numel() for parameter in model.parameters()) == network.cost().params


def test_a_replaced_output_keeps_its_place(tmp_path: Path) -> None:
    network = derived(tmp_path, "output early from tail { conv(2, 1x1); relu }")
    assert [output.name for output in network.ir.outputs] == ["main", "early"]
    assert network.ir.nodes[network.ir.outputs[1].node].shape == (2, 8, 8)


def test_replacements_see_the_names_of_their_own_file_and_of_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.arch").write_text(BASE)
    (tmp_path / "middle.arch").write_text(
        'from "base.arch" import base\nfn more(c) = c + 1\nlet z = 20\n'
        "network middle = base(k=6) { fn twice(c) = more(c) + z; template unit(c) { conv(c, 3x3); gelu } }\n"
    )
    text = (
        'from "middle.arch" import middle\nfn more(c) = 7\nlet z = 1\n'
        "network other = middle(k=5) { template unit(c) { conv(more(c) * z, 1x1); silu }; let wide = k }\n"
    )
    network = rx.loads(text, root=tmp_path)
    assert [f"{n.operator} {n.shape[0]}" for n in network.ir.nodes if n.name.startswith("tail")] == ["conv 7", "silu 7"]
    middle = rx.load(tmp_path / "middle.arch")
    assert [f"{n.operator} {n.shape[0]}" for n in middle.ir.nodes if n.name.startswith("tail")] == [
        "conv 27",
        "gelu 27",
    ]
    assert rx.load(tmp_path / "base.arch").cost().params == 3 * 4 * 9 + 2 * 4 + 4 * 8 + 3 + (8 * 10 + 10)


@pytest.mark.parametrize(
    ("entries", "code", "text"),
    [
        ("head { avgpool(global); flatten; liner(7) }", "E101", "liner"),
        ("fn twice(c) = c * factor", "E101", "factor"),
        ("stage tail { if false { unit(3, 4) } }", "E203", "4"),
        ("template unit(c) { use nothing }", "E101", "nothing"),
        ("let wide = k + missing", "E101", "missing"),
        ("stage tail { unit(5); add(image) }", "E304", "add(image)"),
    ],
)
def test_mistakes_of_replacements_are_located_in_the_derived_network(
    entries: str, code: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, entries)
    assert [(each.code, each.span.text, each.span.line) for each in caught.value.diagnostics if each.span] == [
        (code, text, 3)
    ]


def test_a_replaced_template_that_calls_itself_ends(tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, "template unit(c) { relu; unit(c) }")
    assert caught.value.diagnostics[0].code == "E104"


def test_columns_of_a_derived_network_cost_what_each_network_does(tmp_path: Path) -> None:
    (tmp_path / "base.arch").write_text(BASE)
    text = 'from "base.arch" import base\nnetwork other = base(k=5) { fn twice(c) = c * 3 + k; stage tail repeat 2 { unit(wide) } }\n'
    space = space_of(text_source(text, "<spec>", DEFAULTS), tmp_path, DEFAULTS, {})
    check(space, {"k": [1, 2, 3, 8]})


def test_settings_of_a_derived_network_hold(tmp_path: Path) -> None:
    network = derived(tmp_path, "default bn(eps=0.5)\n    init { conv.weight = zeros }\n    budget { params <= 1M }")
    assert dict(network.ir.nodes[2].attributes or ())["eps"] == 0.5
    assert [(rule.operator, rule.scheme) for rule in network.init] == [("conv", "zeros")]
    assert [limit.bound for limit in network.limits] == [1_000_000]
    with pytest.raises(rx.RequirementError, match="wider"):
        derived(tmp_path, 'require k > 5, "wider"')


SHIPPED = "from networks.{0} import {0}\nnetwork mine = {0}({1}) {{ head {{ avgpool(global); flatten; linear(7) }} }}\n"


def test_a_network_is_derived_from_a_shipped_one_wherever_its_file_is(tmp_path: Path) -> None:
    (tmp_path / "mine.arch").write_text(SHIPPED.format("resnet50", "width=32"))
    network = rx.load(tmp_path / "mine.arch")
    plain = rx.load("resnet50", width=32, classes=7)
    assert network.cost().params == plain.cost().params
    assert network.ir.nodes[-1].shape == (7,)
    again = rx.loads(SHIPPED.format("seresnet50", ""))  # a shipped network that is derived itself
    assert again.cost().params == rx.load("seresnet50", classes=7).cost().params


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            "from networks.resnet5 import x",
            "there is no library `networks.resnet5`",
            "did you mean `networks.resnet50`?",
        ),
        (
            "from network.resnet50 import x",
            "there is no library `network.resnet50`",
            "did you mean `networks.resnet50`?",
        ),
        (
            "from networks import resnet50",
            "there is no library `networks`",
            "libraries: std.blocks, std.inception, std.pyramid, and `networks.NAME` for each shipped network",
        ),
        ("from std.blocks.more import x", "there is no library `std.blocks.more`", "did you mean `std.blocks`?"),
        (
            "network m = resnet50(width=32) {}",
            "unknown network `resnet50`",
            "import it: `from networks.resnet50 import resnet50`",
        ),
    ],
)
def test_a_wrong_import_of_a_shipped_network_says_how(line: str, message: str, hint: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(f"{line}\n" if line.startswith("network m") else f"{line}\nnetwork n {{ input x: 3x8x8; relu }}\n")
    first = caught.value.diagnostics[0]
    assert (first.message, first.hint) == (message, hint)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("6", [("E203", "6")]), ("kk=6", [("E201", "kk")]), ("6, kk=2", [("E203", "6"), ("E201", "kk")])],
)
def test_a_value_without_a_name_and_an_unknown_name_are_errors(
    arguments: str, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "base.arch").write_text(BASE)
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(f'from "base.arch" import base\nnetwork other = base({arguments})\n', root=tmp_path)
    assert [(each.code, each.span and each.span.text) for each in caught.value.diagnostics] == expected
