"""`shared NAME = ...`: one instance that is applied several times, its names, its costs, and the mistakes of a spec."""

from __future__ import annotations

from pathlib import Path

import pytest
from error_examples import net
from interpreter_agreement import agree
from reference_interpreter import interpret
from reference_operators import RejectedError
from sharing_networks import drawn, text_of, varied_text

import resnext_dsl as rx
from resnext_dsl.compare import compare
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.graph.invariants import InvariantError, check_invariants
from resnext_dsl.graph.ir import Graph, to_networkx, uses_of_modules
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.spaces.space import space_of

HEAD = "template head(c, k) { conv(c, 3x3); relu; conv(k, 1x1, bias=true) }\n"
CONV = 8 * 8 * 9
"""Weights of `conv(8, 3x3)` on 8 channels."""


def modules(graph: Graph) -> list[tuple[str, str]]:
    """The nodes after the input with the modules that they call."""
    return [(node.name, node.module_name) for node in graph.nodes[1:]]


# --- the graph ---


def test_every_use_has_nodes_of_its_own_that_call_the_module_of_the_instance() -> None:
    network = rx.loads(net("conv(8, 3x3)\n    shared cls = head(8, 4)\n    cls; conv(8, 1x1); cls", HEAD))
    assert modules(network.ir) == [
        ("conv1", "conv1"),
        ("cls1.conv1", "cls.conv1"),
        ("cls1.relu", "cls.relu"),
        ("cls1.conv2", "cls.conv2"),
        ("conv2", "conv2"),
        ("cls2.conv1", "cls.conv1"),
        ("cls2.relu", "cls.relu"),
        ("cls2.conv2", "cls.conv2"),
    ]
    assert network.ir.scopes["cls2"].module == "cls"
    assert to_networkx(network.ir).nodes["cls2.relu"]["module"] == "cls.relu"
    assert uses_of_modules(network.ir) == {"cls.conv1": [2, 6], "cls.relu": [3, 7], "cls.conv2": [4, 8]}


def test_a_use_in_another_body_stands_at_its_place() -> None:
    body = "shared cell = conv(3, 3x3)\n    repeat 2 { cell }\n    stage a { cell; bn }\n    split 2 { cell } merge add"
    assert modules(rx.loads(net(body)).ir) == [
        ("cell1.0.cell", "cell"),
        ("cell1.1.cell", "cell"),
        ("a.cell", "cell"),
        ("a.bn", "a.bn"),
        ("paths.0.cell", "cell"),
        ("paths.1.cell", "cell"),
        ("add", "add"),
    ]


def test_an_instance_of_a_template_is_one_for_each_call() -> None:
    template = "template twice(k) { shared inner = conv(3, k); inner; inner }\n"
    network = rx.loads(net("twice(3x3); twice(3x3)", template))
    inner = [node.module for node in network.ir.nodes[1:]]
    assert inner == ["twice1.inner", "twice1.inner", "twice2.inner", "twice2.inner"]
    assert network.cost().params == 2 * 3 * 3 * 9


def test_an_instance_inside_an_instance_is_the_same_in_every_use() -> None:
    template = "template twice(k) { shared inner = conv(3, k); inner; inner }\n"
    network = rx.loads(net("shared both = twice(3x3)\n    both; both", template))
    assert {node.module for node in network.ir.nodes[1:]} == {"both.inner"}
    assert network.cost().params == 3 * 3 * 9


def test_an_instance_is_passed_to_a_template() -> None:
    template = "template around(op) { op; relu; op }\n"
    network = rx.loads(net("shared cell = conv(3, 3x3)\n    around(cell); around(cell)", template))
    cells = [node.module for node in network.ir.nodes if node.operator == "conv"]
    assert cells == ["cell"] * 4
    assert network.cost().params == 3 * 3 * 9


def test_two_instances_of_one_name_in_two_branches_are_two_modules() -> None:
    body = "if {} {{ shared c = conv(3, 3x3); c }} else {{ shared c = conv(3, 1x1); c }}"
    names = [modules(rx.loads(net(body.format(choice))).ir)[0][1] for choice in ("true", "false")]
    assert names == ["c1", "c2"]


def test_the_next_use_owns_the_weights_if_the_first_one_is_left_out() -> None:
    body = "shared c = conv(3, 3x3)\n    c as unused\n    use image\n    c"
    network = rx.loads(net(body))
    assert modules(network.ir) == [("c2", "c")]
    assert [warning.code for warning in network.warnings] == ["W902"]
    assert network.cost().params == 3 * 3 * 9


def test_a_derived_network_sees_the_instances_of_its_base(tmp_path: Path) -> None:
    base = "network base {\n    input image: 3x8x8\n    shared c = conv(3, 3x3)\n    c\n    head { relu }\n}\n"
    (tmp_path / "base.arch").write_text(base)
    (tmp_path / "n.arch").write_text('from "base.arch" import base\nnetwork changed = base() { head { c; c } }\n')
    network = rx.load(tmp_path / "n.arch")
    assert modules(network.ir) == [("c1", "c"), ("head.c1", "c"), ("head.c2", "c")]
    assert network.warnings == ()


def test_shared_is_a_name_in_other_places() -> None:
    network = rx.loads(net("shared; shared as y; shared(3x3); concat(y)", "template shared(k = 1x1) { conv(3, k) }\n"))
    assert [node.operator for node in network.ir.nodes[1:]] == ["conv", "conv", "conv", "concat"]


def test_the_formatter_keeps_a_declaration() -> None:
    text = "network n {\n    input image: 3x8x8\n\n    shared  c=conv( 8,3x3 ) # once\n    c\n}\n"
    wanted = "network n {\n    input image: 3x8x8\n\n    shared c = conv(8, 3x3) # once\n    c\n}\n"
    formatted = format_text(text_source(text, "n.arch", DEFAULTS), DEFAULTS)
    assert formatted.replace("  #", " #") == wanted
    assert format_text(text_source(formatted, "n.arch", DEFAULTS), DEFAULTS) == formatted


# --- costs ---


def test_parameters_count_once_and_the_rest_each_time() -> None:
    body = "conv(8, 3x3)\n    shared c = conv(8, 3x3)\n    stage a { c; maxpool(2x2) }\n    stage b { c; c }"
    network = rx.loads(net(body))
    cost = network.cost()
    assert cost.params == 8 * 3 * 9 + CONV
    assert cost.flops == 8 * 3 * 9 * 1024 + CONV * (1024 + 256 + 256)
    assert cost.activations == 8 * (1024 + 1024 + 256 + 256)
    assert cost.depth == 4
    assert {name: (part.params, part.flops) for name, part in cost.by_stage().items()} == {
        "conv": (216, 216 * 1024),
        "a": (CONV, CONV * 1024),
        "b": (0, CONV * 512),
    }
    assert cost.by_module()["c"].figures == (CONV, CONV * 1536, CONV * 1536, 8 * 1536)
    assert cost.by_operator()["conv"].params == 216 + CONV
    lines = {line: part.params for (_, line), part in cost.by_line().items()}
    assert lines == {3: 216, 5: CONV, 6: 0}


def test_a_budget_can_limit_an_instance() -> None:
    body = "conv(8, 3x3)\n    shared c = conv(8, 3x3)\n    c; c\n    budget { c.params == 576; c.flops <= 1M }"
    usage = rx.loads(net(body)).usage()
    assert [(line.limit.subject, line.used, line.met) for line in usage] == [
        ("c.params", CONV, True),
        ("c.flops", 2 * CONV * 1024, False),
    ]


def test_memory_counts_weights_and_statistics_once() -> None:
    body = "shared c = unit\n    c; c; c"
    memory = rx.loads(net(body, "template unit { conv(3, 3x3); bn }\n")).memory()
    assert memory.weights == 4 * (81 + 6)
    assert memory.buffers == 4 * 6 + 8


# --- comparison ---


def same(one: str, other: str, before: str = "") -> bool:
    """Whether two bodies have one fingerprint."""
    return rx.loads(net(one, before)).fingerprint == rx.loads(net(other, before)).fingerprint


def test_a_fingerprint_tells_one_instance_from_two() -> None:
    assert not same("shared c = conv(3, 3x3)\n    c; relu; c", "conv(3, 3x3); relu; conv(3, 3x3)")
    assert same("shared c = conv(3, 3x3)\n    c; relu", "conv(3, 3x3); relu")
    assert same(
        "shared c = conv(3, 3x3)\n    c; relu; c", "shared d = t\n    d; relu; d", "template t { conv(3, 3x3) }\n"
    )
    three = "shared a = conv(3, 3x3)\n    shared b = conv(3, 3x3)\n    {}; relu; {}; relu; {}"
    assert same(three.format("a", "b", "a"), three.format("b", "a", "b"))
    assert not same(three.format("a", "b", "a"), three.format("a", "a", "b"))


def test_a_fingerprint_tells_which_of_two_equal_values_goes_on() -> None:
    body = "shared a = conv(3, 3x3)\n    a as p\n    use image\n    conv(3, 3x3) as q\n    use {}; a; concat({})"
    assert not same(body.format("p", "q"), body.format("q", "p"))


def test_a_comparison_names_shared_weights() -> None:
    a = rx.loads(net("shared c = conv(3, 3x3)\n    c; relu; c"))
    b = rx.loads(net("conv(3, 3x3); relu; conv(3, 3x3)"))
    comparison = compare(a, b)
    assert not comparison.same_architecture
    details = {detail for change in comparison.changes for detail in change.details}
    assert ("weights", "shared as c", "own") in {tuple(detail) for detail in details}


# --- mistakes ---

WIRED = (
    "template t {{ conv(8, 3x3) as a; relu as b; if shape_in[1] > {} {{ use a }} else {{ use b }}; "
    "bn; add(a); add(b) }}\n"
)
"""A template whose norm reads one value or another."""

WRONG = [
    (
        net("shared a = cnov(8, 3x3)\n    a"),
        "E101",
        "unknown operator or template `cnov`",
        "cnov",
        "did you mean `conv`?",
    ),
    (
        net("shared a = conv(8, 3x3)\n    conv(8, 3x3); a; conv(16, 3x3); a"),
        "E304",
        "all uses of `a` share their weights, which do not fit both 8x32x32 and 16x32x32",
        "a",
        "give every use 8 channels, as by `conv(8, 1x1)` before it; height and width may differ",
    ),
    (
        net("shared a = t\n    conv(8, 3x3); a; maxpool(2x2); a", "template t { conv(8, shape_here[1] // 8 + 1) }\n"),
        "E304",
        "all uses of `a` share their weights, which do not fit both 8x32x32 and 8x16x16",
        "a",
        "operators of `a` depend on height and width: give every use the same size",
    ),
    (
        net("conv(8, 3x3)\n    shared a = t\n    a; maxpool(2x2); a", WIRED.format(20)),
        "E304",
        "all uses of `a` share their weights, which do not fit both 8x32x32 and 8x16x16",
        "a",
        "operators of `a` depend on height and width: give every use the same size",
    ),
    (
        net("shared a = linear(3)\n    avgpool(global); flatten; a; linear(5); a"),
        "E304",
        "all uses of `a` share their weights, which do not fit both 3 and 5",
        "a",
        "give every use a value of 3, or declare an instance for each shape",
    ),
    (
        net(
            "shared a = t\n    repeat 2 as i { let b = i; a }",
            "template t { if channels_in == 3 { relu }; flatten; linear(3 * 1024); linear(4) }\n",
        ),
        "E304",
        "all uses of `a` share their weights, which do not fit both 3x32x32 and 4",
        "a",
        "give every use a value of 3x32x32, or declare an instance for each shape",
    ),
    (
        net("shared a = conv(8, 3x3)\n    conv(8, 3x3); a(8); a"),
        "E203",
        "`a` is a shared instance; a use of it takes no arguments",
        "8",
        "write `a`",
    ),
    (
        net("shared a = conv(8, 3x3)\n    conv(8, 3x3); t(a)", "template t(op) { op(8, 3x3) }\n"),
        "E203",
        "`op` is a shared instance; a use of it takes no arguments",
        "8",
        "write `op`",
    ),
    (
        net("stem { shared a = conv(8, 3x3); let b = a(8); conv(8, 3x3); b }"),
        "E203",
        "`a` is a shared instance; a use of it takes no arguments",
        "8",
        "write `a`",
    ),
    (
        net("shared a = t(a)\n    conv(8, 3x3); a", "template t(op) { op }\n"),
        "E101",
        "the shared instance `a` cannot apply itself",
        "a",
        "use `repeat` to apply an instance several times",
    ),
    (
        net("template t { a }\n    shared a = conv(8, 3x3)\n    conv(8, 3x3); a; t"),
        "E101",
        "unknown operator or template `a`",
        "a",
        "templates do not see the shared instances of a network; pass `a` to the template as an argument",
    ),
    (net("shared a = conv(8, 3x3)\n    conv(8, 3x3) as a; a"), "E102", "`a` is declared twice", "a", ""),
    (net("shared a = conv(8, 3x3)\n    stage a { a }"), "E102", "`a` is declared twice", "a", ""),
    (net("stem { shared a = conv(3, 3x3); shared a = conv(3, 3x3); a }"), "E102", "`a` is declared twice", "a", ""),
    (
        net("shared a = conv(8)\n    a"),
        "E202",
        "`conv` needs the argument `kernel`",
        "conv",
        "left to fill in: `conv(kernel, stride=..., padding=..., dilation=..., groups=..., bias=..., standardize=..., gain=..., gamma=..., eps=...)`",
    ),
    (net("shared a = conv(0, 3x3)\n    a"), "E205", "`channels` must be at least 1; found 0", "0", ""),
    (
        net("conv(3, 3x3) as e\n    shared a = concat(e)\n    a"),
        "E204",
        "a shared instance cannot have a value of the network as an argument",
        "e",
        "write `concat(...)` at each place: it has no weights to share",
    ),
    (
        net("conv(3, 3x3) as e\n    shared a = t(e)\n    a", "template t(v) { add(v) }\n"),
        "E204",
        "a shared instance cannot have a value of the network as an argument",
        "t(e)",
        "each use gives it the running value and no other",
    ),
    (
        net("shared a = relu\n    shared b = a\n    b"),
        "E207",
        "`a` is a shared instance already",
        "a",
        "apply `a` itself",
    ),
    (
        net("shared a = relu\n    use a"),
        "E204",
        "`a` is not a value of the network; found the shared instance `a`",
        "a",
        "write `a` to apply it, and name its value with `as`",
    ),
    (
        net("shared a = relu\n    conv(a, 3x3)"),
        "E204",
        "`channels` of `conv` cannot be the shared instance `a`",
        "a",
        "",
    ),
    (
        net("let f = 3\n    shared a = f\n    a"),
        "E207",
        "`f` is a value of type int, not an operator or template",
        "f",
        "",
    ),
    (net("a\n    shared a = conv(8, 3x3)\n    a"), "E101", "unknown operator or template `a`", "a", ""),
    (
        net("shared a = conv(8, 3x3)\n    let b = a(3)\n    conv(8, 3x3); b"),
        "E101",
        "`a` is a shared instance, which parameters and constants of the network cannot read",
        "a",
        "apply it by a statement, or pass it to a template as an argument",
    ),
]


@pytest.mark.parametrize(("text", "code", "message", "place", "hint"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_one_error_at_its_place(text: str, code: str, message: str, place: str, hint: str) -> None:
    with pytest.raises(rx.ArchError, match=code) as caught:
        rx.loads(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.hint) == (code, message, hint)
    assert found.span is not None
    assert found.span.text == place
    if code not in ("E101", "E102"):  # the interpreter does not check where a name is visible
        with pytest.raises(RejectedError):
            interpret(text)


@pytest.mark.parametrize(
    "declaration", ["shared a", "shared a conv(3)", "shared a(3)", "shared a = 3", "shared a = [relu]"]
)
def test_a_declaration_needs_an_operator_or_a_template(declaration: str) -> None:
    with pytest.raises(rx.ArchError, match="E002") as caught:
        rx.loads(net(f"{declaration}\n    relu"))
    (found,) = caught.value.diagnostics
    assert found.message.startswith("a shared instance needs the operator or template that it applies; found ")
    assert found.hint == "write `shared NAME = conv(64, 3x3)`"


@pytest.mark.parametrize(
    "body", ["shared a = conv(8, 3x3)\n    relu", "stem { shared a = conv(8, 3x3); relu }"], ids=["network", "part"]
)
def test_an_instance_that_is_never_used_is_a_warning(body: str) -> None:
    (warning,) = rx.loads(net(body)).warnings
    assert (warning.code, warning.message) == ("W901", "`a` is declared and never used")
    assert warning.span is not None
    assert warning.span.text == "a"


def test_rules_of_init_name_the_instance() -> None:
    rules = "init {{ {} = constant(0.5) }}"
    body = "shared a = head(8, 4)\n    a; conv(3, 1x1); a\n    "
    for path in ("a.conv2.bias", "a.conv.bias"):
        rx.loads(net(body + rules.format(path), HEAD))
    with pytest.raises(rx.ArchError, match="E101") as caught:
        rx.loads(net(body + rules.format("a1.conv2.bias"), HEAD))
    assert caught.value.diagnostics[0].message == "the network contains no `a1`"
    assert caught.value.diagnostics[0].hint == "it contains: a, conv"


def test_nodes_that_cannot_share_a_module_break_an_invariant() -> None:
    graph = rx.loads(net("shared c = conv(3, 3x3)\n    c; conv(3, 1x1); c")).ir
    nodes = list(graph.nodes)
    nodes[3] = nodes[3]._replace(attributes=nodes[2].attributes)
    with pytest.raises(InvariantError, match="nodes `c1` and `c2` cannot share the module `c`"):
        check_invariants(graph._replace(nodes=tuple(nodes)))


# --- random networks ---


@pytest.mark.parametrize("seed", range(12))
def test_a_random_network_is_read_as_by_the_reference_interpreter(seed: int) -> None:
    text = text_of(seed)
    network = rx.loads(text)
    agree(network, interpret(text))
    formatted = format_text(text_source(text, "n.arch", DEFAULTS), DEFAULTS)
    assert rx.loads(formatted).fingerprint == network.fingerprint


def test_most_random_networks_share() -> None:
    sharing = [bool(uses_of_modules(drawn(seed).ir)) for seed in range(15)]
    assert sum(sharing) > 10


@pytest.mark.parametrize("seed", range(8))
def test_columns_of_a_random_network_equal_one_by_one(seed: int) -> None:
    space = space_of(text_source(varied_text(seed), "n.arch", DEFAULTS), None, DEFAULTS, {})
    candidates = space.sample(8, seed=0)
    columns = {name: [candidate[name] for candidate in candidates] for name in candidates[0]}
    costs = space.cost(columns)
    for place, candidate in enumerate(candidates):
        cost = space.bind(candidate).cost()
        found = tuple(getattr(costs, measure)[place] for measure in COST_MEASURES)
        assert found == cost.figures, (costs.method, candidate)


def test_most_columns_of_random_networks_have_a_closed_form() -> None:
    methods = []
    for seed in range(10):
        space = space_of(text_source(varied_text(seed), "n.arch", DEFAULTS), None, DEFAULTS, {})
        methods.append(space.cost({"count": [1, 2, 3]}).method)
    assert methods.count("closed form") >= 8, methods


OWNERS = """network n {{
    input image: 3x32x32
    param early = true in {{true, false}}
    param width = 8 in {{4, 8, 16}}
    param passes = 2 in 0..3
    template head(c) {{ conv(c, 3x3); relu; conv(4, 1x1, bias=true) }}
    stem {{ conv(8, 3x3, stride=2) as p3; conv(8, 3x3, stride=2) }}
    shared cls = head(width)
    stage a {{ if early {{ cls; conv(8, 1x1) }} else {{ conv(8, 3x3) }} }}
    output other {}from p3 {{ cls }}
    stage b {{ repeat passes {{ cls; conv(8, 1x1) }} }}
}}
"""


@pytest.mark.parametrize("when", ["", "when training "])
def test_columns_know_that_the_owner_differs_between_candidates(when: str) -> None:
    space = space_of(text_source(OWNERS.format(when), "n.arch", DEFAULTS), None, DEFAULTS, {})
    rows = [(early, width, passes) for early in (True, False) for width in (4, 8, 16) for passes in range(4)]
    names = ("early", "width", "passes")
    costs = space.cost({name: [row[place] for row in rows] for place, name in enumerate(names)})
    assert costs.method == "closed form"
    for place, row in enumerate(rows):
        cost = rx.loads(OWNERS.format(when), **dict(zip(names, row, strict=True))).cost()
        assert tuple(getattr(costs, measure)[place] for measure in COST_MEASURES) == cost.figures, row


def test_candidates_whose_uses_read_other_values_are_priced_one_by_one() -> None:
    body = "param limit = 0 in {0, 20}\n    conv(8, 3x3)\n    shared a = t(limit)\n    a; maxpool(2x2); a"
    text = net(body, WIRED.format("limit").replace("template t {", "template t(limit) {"))
    space = space_of(text_source(text, "n.arch", DEFAULTS), None, DEFAULTS, {})
    costs = space.cost({"limit": [0, 20]})
    assert (costs.method, costs.valid.tolist()) == ("one by one", [True, False])


def test_candidates_whose_uses_differ_are_priced_one_by_one() -> None:
    text = "network n { input image: 3x8x8; param w = 8 in {8, 16}; conv(8, 1x1); shared c = conv(8, 3x3); c; conv(w, 1x1); c }"
    space = space_of(text_source(text, "n.arch", DEFAULTS), None, DEFAULTS, {})
    costs = space.cost({"w": [8, 16]})
    assert costs.method == "one by one"
    assert costs.reason == "the uses of `c` may differ between candidates"
    assert costs.valid.tolist() == [True, False]
    assert costs.params[0] == rx.loads(text).cost().params
