"""The shipped specs by the reference interpreter and by the package: the same operators, shapes, counts and verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from interpreter_agreement import agree
from reference_interpreter import interpret
from reference_operators import RejectedError

import resnext_dsl as rx

SPECS = Path(__file__).parents[2] / "specs"
SUPPORTED = sorted(path.stem for path in SPECS.glob("*.arch"))


def test_every_shipped_spec_is_interpreted() -> None:
    assert len(SUPPORTED) == 64


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_shipped_spec_reads_the_same_way_twice(name: str) -> None:
    path = SPECS / f"{name}.arch"
    agree(rx.load(path), interpret(path.read_text(encoding="utf-8")))


CONSTRUCTS = {
    "padding, standardized weights and fixed kernels": """
        param f = true
        conv(8, 3x3, stride=2, padding=same_upper, standardize=f); blur_pool(3x3, mode=replicate); fixed_conv([[1, 0.5]])
        maxpool(2x2, padding=same_upper); avgpool(3x3, stride=1, padding=same_upper)
        conv(4, 1x1, standardize=scaled, gain=0.0, bias=f); conv(4, 1x1, groups=4, standardize=not f)
    """,
    "listed paths": """
        param f = true
        conv(8, 1x1)
        split {
            if f { path { conv(4, 3x3) }; path { bn } } else if channels_here == 9 { path { relu } } else { path { gelu } }
            for k, c in [[1, 2], [3, 5]] { if k == 1 { path { conv(c, k) } } else { path { conv(c, k, bias=last(true, false)) } } }
            repeat 3 as i { if i != 1 { path { conv(i + 1, 1x1) } } }
        } merge concat
    """,
    "widths": "param f = true; conv(9, 1x1); split [2, 3, 4] slice as i { conv(i + 2, 3x3); relu } merge concat",
    "widths of paths": "param f = true; conv(9, 1x1); split [2, 7] slice { path { conv(3, 3x3) }; if f { path { bn } } } merge concat",
    "wrong widths": "param f = true; conv(9, 1x1); split [2, 6] slice { relu } merge concat",
    "conditions of residuals": """
        param f = true
        conv(4, 1x1)
        stage s repeat 3 as i { residual(shortcut=identity, when=f or i != 1) { conv(4, 3x3) } }
        residual(when=not f) { conv(2, 1x1) } shortcut { conv(2, 3x3); bn }
    """,
    "no path": "param f = true; split { if not f { path { relu } } } merge add",
    "the value that enters": """
        param f = true
        template dense(g) { bn; relu; if f { conv(g, 3x3) }; concat(value_in); inner(value_in) }
        template inner(other) { conv(3, 1x1); use value_in; concat(other) }
        stage s repeat 2 { dense(4); concat(value_in) }
    """,
}


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_reads_the_same_way_twice(name: str, flag: bool) -> None:
    text = f"network n {{\n    input image: 3x9x9\n{CONSTRUCTS[name]}\n}}\n"
    try:
        network = rx.loads(text, f=flag)
    except rx.ArchError:
        with pytest.raises(RejectedError):
            interpret(text, f=flag)
        return
    agree(network, interpret(text, f=flag))


def test_replacements_of_a_derived_network_read_the_same_way_twice(tmp_path: Path) -> None:
    (tmp_path / "base.arch").write_text(
        "network base { input image: 3x9x9; param k = 4; let wide = twice(k); fn twice(c) = c * 2\n"
        "template unit(c) { conv(c, 1x1); relu }\n conv(k, 3x3)\n stage tail repeat 2 { unit(wide) }\n"
        "head { avgpool(global); flatten; linear(10) } }\n"
    )
    text = (
        'from "base.arch" import base\nfn more(c) = c + 3\n'
        "network other = base(k=5) { fn twice(c) = more(c) * 3; template unit(c) { conv(more(c), 3x3) }\n"
        "stage tail repeat 3 as i { unit(wide + i) }; head { avgpool(global); flatten; linear(more(7)) }; input image: 1x8x8 }\n"
    )
    agree(rx.loads(text, root=tmp_path), interpret(text, tmp_path))
