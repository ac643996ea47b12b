"""Formulas within formulas in emitted loops, the types of emitted parameters, and paths beside a blocked convolution."""

from __future__ import annotations

import ast

import pytest
import torch
from emit_oracle import check_equal, compiled, image, network

from resnext_dsl.emit import emit
from resnext_dsl.networks.loading import loads

FORMULAS = [
    "c + (i + 1) * (a + b)",
    "c * 9 + i * (a - b) * 2",
    "(c + i) * (a + b) - i",
    "c * (i + 1) // (a + 1) + b",
    "c - (a - (b - i)) + 9",
    "(a + b) * (c - (i - 2))",
    "max(c, a * (i + b))",
    "c if i == 1 else a + b",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("passes", [3, 6])
def test_a_loop_computes_the_widths_of_each_of_its_calls(formula: str, passes: int) -> None:
    check_equal(
        network(
            f"""
    template unit(a, b, c) {{ repeat {passes} as i {{ conv({formula}, 1x1); relu }} }}
    stage s {{ unit(1, 2, 4) }}
    stage t {{ unit(3, 5, 8) }}
    stage u repeat 2 {{ unit(6, 2, 16) }}"""
        )
    )


ANNOTATED = {"int": int, "float": (int, float), "bool": bool, "str": str}


@pytest.mark.parametrize(
    "calls",
    [
        "unit(1, 1, true); unit(2, 2, false); unit(1, 3, true)",
        "unit(1.0, 1, true); unit(0.5, 2, false); unit(1, 1, true)",
        "unit(1, 2, true); unit(2.5, 2, true)",
    ],
)
def test_the_arguments_of_an_emitted_class_have_the_types_that_it_states(calls: str) -> None:
    """1, 1.0 and true are equal to Python, and stay apart in the text."""
    graph = network(
        f"template unit(f, k, on) {{ scale(f); conv(8, k, bias=on); if on {{ relu }} }}\n stage s {{ {calls} }}"
    )
    check_equal(graph)
    tree = ast.parse(emit(graph))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    checked = 0
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Name) or call.func.id not in classes or call.func.id == "Chain":
            continue
        inits = [f for f in classes[call.func.id].body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
        arguments = inits[0].args.args[1:]
        kinds = {argument.arg: ast.unparse(argument.annotation) for argument in arguments if argument.annotation}
        named = [(argument.arg, value) for argument, value in zip(arguments, call.args, strict=False)]
        for name, value in [*named, *((keyword.arg or "", keyword.value) for keyword in call.keywords)]:
            literal = ast.literal_eval(value)
            assert isinstance(literal, ANNOTATED[kinds[name]]), (name, literal)
            assert isinstance(literal, bool) == (kinds[name] == "bool"), (name, literal)
            assert isinstance(literal, float) == (kinds[name] == "float"), (name, literal)
            checked += 1
    assert checked


@pytest.mark.parametrize("form", ["a", "b"])
def test_a_convolution_after_one_that_has_no_paths_gets_its_own(form: str) -> None:
    net = loads(
        """network net {
    input image: 8x6x6
    conv(32, 1x1); conv(32, 3x3, groups=32); bn; relu; conv(32, 3x3, groups=4); bn; conv(8, 1x1)
    head { avgpool(global); flatten; linear(3) }
}"""
    )
    report = net.rewrite(form=form).report
    assert [(fired.place, fired.number) for fired in report.fired] == [("conv3", 4)]
    assert {place: left.reason for place, left in report.left.items()} == {
        "conv2": "the paths of a depthwise convolution would have one channel each"
    }
    written = compiled(net.ir).eval()
    model = net.compile(form=form, weights=written.state_dict()).eval()
    x = image(net.ir)
    torch.testing.assert_close(model(x), written(x), rtol=1e-4, atol=1e-5)
