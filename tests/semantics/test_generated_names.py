"""Names that the compiler generates differ from each other and from all names in the text."""

from __future__ import annotations

import random

import pytest
from emit_oracle import check_equal

from resnext_dsl.graph.invariants import check_invariants
from resnext_dsl.graph.ir import Graph
from resnext_dsl.networks.loading import loads
from resnext_dsl.semantics.naming import TAKEN, safe


def graph(body: str, image: str = "image") -> Graph:
    return loads(f"network net {{\n    input {image}: 8x8x8\n{body}\n}}\n").ir


STATEMENTS = {
    "conv": "conv(8, 3x3)",
    "bn": "bn",
    "paths": "split 2 { conv(8, 1x1) } merge add",
    "shortcut": "residual(shortcut=projection) { conv(8, 3x3) }",
    "repeat": "repeat 2 { bn; relu }",
    "unit": "unit()",
    "unit1": "unit1()",
}

WORDS = ("conv1", "conv2", "conv11", "bn1", "bn2", "relu1", "paths", "paths1", "add1", "shortcut", "shortcut1")
WORDS = (*WORDS, "repeat1", "unit2", "features", "train", "train_", "main_")


def drawn(seed: int) -> tuple[str, str]:
    """The body of a network whose parts have the names that its statements would get, and the name of its input."""
    pick = random.Random(seed)
    templates = "template unit() { conv(8, 1x1); relu }\n template unit1() { conv(8, 1x1); conv(8, 1x1) }\n"
    image, *names = pick.sample(WORDS, 4)
    lines = pick.choices(list(STATEMENTS.values()), k=pick.randint(2, 12))
    for name in names:
        kind = pick.choice(("stage {} {{ {} }}", "output {} {{ {} }}", "stage {} repeat 2 {{ {} }}"))
        lines.insert(pick.randrange(len(lines) + 1), kind.format(name, pick.choice(lines)))
    lines = [line if line.count("stage ") + line.count("output ") < 2 else "conv(8, 1x1)" for line in lines]
    return templates + "\n".join(lines), image


@pytest.mark.parametrize("seed", range(60))
def test_a_network_whose_names_meet_generated_names_is_its_graph(seed: int) -> None:
    check_equal(check_invariants(graph(*drawn(seed))))


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("conv(8, 3x3)\nconv(8, 3x3)\nstage conv2 { bn }", ["conv1", "conv3", "conv2.bn"]),
        ("conv(8, 3x3)\nstage conv { bn }", ["conv1", "conv.bn"]),
        ("stage linear1 { bn }\nflatten\nlinear(4)\nlinear(4)", ["linear1.bn", "flatten", "linear2", "linear3"]),
        (
            "stage paths { bn }\nsplit 2 { conv(4, 1x1) } merge add",
            ["paths.bn", "paths1.0.conv", "paths1.1.conv", "add"],
        ),
        ("conv(8, 3x3)\nconv(8, 3x3)\noutput conv1 { bn }", ["conv2", "conv3", "conv1.bn"]),
        ("conv(8, 3x3)\nstage s { bn }\noutput conv from s", ["conv1", "s.bn"]),
        ("stage train { bn }\nstage train_ { bn }", ["train_.bn", "train__.bn"]),
    ],
)
def test_written_names_stay_and_generated_names_give_way(body: str, names: list[str]) -> None:
    network = check_invariants(graph(body))
    assert [node.name for node in network.nodes[1:]] == names
    check_equal(network)


def test_the_name_of_the_input_is_taken() -> None:
    network = check_invariants(graph("repeat 2 { bn; relu }\nconv(8, 1x1)\nconv(8, 1x1)", image="conv1"))
    assert [node.name for node in network.nodes][0::5] == ["conv1", "conv2"]
    check_equal(network)


def test_numbered_names_of_two_callees_differ() -> None:
    calls = "conv(8, 1x1)\n" * 12 + "conv1()\n" * 3
    network = check_invariants(graph(f"template conv1() {{ bn }}\nstage s {{ {calls} }}"))
    names = [node.name.split(".")[1] for node in network.nodes[1:]]
    assert names == [*(f"conv{number}" for number in range(1, 13)), "conv13", "conv14", "conv15"]


def test_different_names_stay_different_as_attributes() -> None:
    names = [f"{name}{end}" for name in [*TAKEN, "_a", "a", "match", "class"] for end in ("", "_", "__")]
    assert len({safe(name) for name in names}) == len(set(names))
