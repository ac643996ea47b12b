"""Loops whose passes have no operators: the emitted source computes the graph, and every pass keeps its number."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from emit_oracle import check_equal, compiled, network

from resnext_dsl.networks.loading import loads

BODIES = {
    "nothing": "",
    "module": "conv(8, 3x3)",
    "row": "conv(8, 3x3); bn",
    "template": "block(8)",
    "expression": "scale(0.5)",
    "sum": "residual { conv(8, 3x3) }",
    "named": "concat(a); conv(8, 1x1)",
    "loop": "repeat 2 as j { if j > 0 { bn } }",
    "dropped": "dropout(0.1)",
}

PLACES = (
    "repeat {count} as i {{ {body} }}",
    "stage s repeat {count} as i {{ {body} }}",
    "for i in range({count}) {{ {body} }}",
    "residual {{ repeat {count} as i {{ {body} }} }}",
    "split {{ path {{ repeat {count} as i {{ {body} }} }} path {{ conv(8, 1x1) }} }} merge add",
    "repeat 2 as k {{ repeat {count} as i {{ {body}; if k > 0 {{ bn }} }} }}",
    "stage s {{ repeat 3 {{ loop(first(0, 1)) }} }}",
)


def spec(place: str, kinds: tuple[str, ...]) -> str:
    body = "\n".join(f"if i == {turn} {{ {BODIES[kind]} }}" for turn, kind in enumerate(kinds))
    inside = body.replace(BODIES["named"], BODIES["row"])  # a template does not see `a`
    return f"""
    template block(c) {{ conv(c, 3x3); bn; relu }}
    template loop(q) {{ repeat {len(kinds)} as i {{ if q > 0 {{ {inside} }} else {{ relu }} }} }}
    conv(8, 1x1) as a
    {place.format(count=len(kinds), body=body)}
    head {{ avgpool(global); flatten; linear(5) }}"""


def drawn(seed: int) -> str:
    pick = random.Random(seed)
    kinds = [pick.choice(list(BODIES)) for _ in range(pick.randint(1, 5))]
    for turn in pick.choice(((0,), (-1,), (0, -1), (len(kinds) // 2,))):
        kinds[turn] = "nothing"
    return spec(pick.choice(PLACES), tuple(kinds))


@pytest.mark.parametrize(("place", "kind"), list(itertools.product(PLACES, BODIES)))
def test_the_first_the_last_and_a_middle_pass_are_empty(place: str, kind: str) -> None:
    for kinds in (("nothing", kind, kind), (kind, kind, "nothing"), (kind, "nothing", kind)):
        check_equal(network(spec(place, kinds)))


@pytest.mark.parametrize("seed", range(40))
def test_a_random_loop_with_empty_passes_is_its_graph(seed: int) -> None:
    check_equal(network(drawn(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 600))
def test_many_random_loops_with_empty_passes_are_their_graphs(seed: int) -> None:
    check_equal(network(drawn(seed)))


@pytest.mark.parametrize("seed", range(12))
def test_rewritten_forms_of_random_loops_compute_the_same(seed: int) -> None:
    text = f"network net {{\n    input image: 8x12x12\n{drawn(seed)}\n}}\n"
    net = loads(text)
    written = compiled(net.ir)
    x = torch.rand(2, 8, 12, 12)
    expected = written.eval()(x)
    inference = net.compile(form="fastest", mode="inference", weights=written.state_dict())
    torch.testing.assert_close(inference(x), expected, rtol=1e-4, atol=1e-4)


def test_a_pass_keeps_its_number_and_an_empty_pass_is_an_identity() -> None:
    net = loads("network t { input image: 3x16x16\n repeat 3 as i { if i > 0 { conv(8, 3x3); bn } } }")
    model = net.compile(form="written")
    assert [name for name, _ in model.named_parameters()] == [
        f"repeat.{turn}.{name}" for turn in (1, 2) for name in ("conv.weight", "bn.weight", "bn.bias")
    ]
    assert type(model.repeat[0]) is torch.nn.Identity
    assert len(model.repeat) == 3


EMPTY = (
    "repeat 0 { conv(8, 1x1) }",
    "repeat 0 as i { conv(8 + i, 1x1) }",
    "for c in [] { conv(c, 1x1) }",
    "for c in range(0) { conv(8, 1x1) }",
    "stage z repeat 0 { conv(8, 1x1); bn }",
    "repeat 2 { repeat 0 { relu } }",
    "stage z repeat 3 as i { if i > 5 { relu } }",
    "repeat 3 { let k = 3 }",
    "residual { conv(8, 1x1); repeat 0 { relu } }",
    "residual { repeat 0 { relu } }",
    "repeat 3 { residual { repeat 0 { relu } } }",
    "split 2 { repeat 0 { relu } } merge add",
    "split 2 { repeat 0 { relu } } merge concat",
    "split { path { repeat 0 { bn } } path { conv(8, 1x1) } } merge add",
    "template t(n) { repeat n { conv(8, 1x1); bn } }\n t(0); t(2)",
    "template t(n) { repeat n { conv(8, 1x1); bn } }\n t(0)",
    "repeat 0 { relu } as e\n concat(e)",
    "stage z repeat 0 { relu } as e\n concat(e)",
    "stage z { repeat 0 { relu } }\n output aux from z",
)


@pytest.mark.parametrize("loop", EMPTY)
@pytest.mark.parametrize("before", ["", "conv(8, 1x1)\n"])
def test_a_loop_without_passes_compiles(loop: str, before: str) -> None:
    head = "head { avgpool(global); flatten; linear(5) }"
    check_equal(loads(f"network n {{ input image: 8x6x6\n{before}{loop}\n{head} }}").ir)
