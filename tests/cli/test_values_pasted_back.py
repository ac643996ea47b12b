"""Values and names that a command prints can be given back to a command, and give the same network."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from space_oracle import space_from
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app

ONES = ", ".join(["1"] * 13)

TEXT = f"""template block(c, k = 3x3) {{ conv(c, k); bn }}
template wide(c) {{ conv(c * 2, 1x1); conv(c, 1x1) }}
network n {{
    input image: 3x16x16
    param channels = 8 in {{4, 8}}
    param rate = 0.5 in {{0.1, 0.5}}
    param dense = 0.25 in 0.25..0.75 step 0.25
    param se = true in {{true, false}}
    param mode: string = "a b" in {{"a b", "c", "fan_in", "relu", "3", "d\\"e", "it's"}}
    param kernel = 3x3 in {{3x3, 1x5, 5x5}}
    param depths = [1, 2] in {{[1, 2], [2, 1]}}
    param each = [1, 2] in [1..2, {{2, 3}}]
    param rates = [0.5, 0.25] in [0.1..0.5 step 0.1, {{0.25, 0.75}}]
    param words = ["a", "b"] in {{["a", "b"], ["b b", "c\\"c"]}}
    param long = [{ONES}, 1] in {{[{ONES}, 1], [{ONES}, 2]}}
    param nested = [[1, [2]], [3, [4]]] in {{[[1, [2]], [3, [4]]], [[1, [[[5]]]], [3, [4]]]}}
    param act = relu in {{relu, leaky_relu(0.1), hardtanh(min=-1.0, max=1.0)}}
    param body = block in {{block, block(k=5x5), wide}}
    stage s repeat depths[0] {{ body(channels); act }}
    repeat each[1] {{ if se {{ act }}; dropout(rate) }}
    if mode == "a b" {{ conv(8, 1x1) }} else {{ conv(len(words), 1x1) }}
    if mode == "d\\"e" {{ conv(16, 1x1) }}
    if words[0] == "b b" {{ conv(9, 1x1) }}
    conv(4, kernel, padding=same)
    if dense + rates[0] > 0.6 {{ conv(5, 1x1) }}
    if rates[1] > 0.5 {{ conv(6, 1x1) }}
    repeat each[0] {{ conv(4, 1x1) }}
    repeat long[13] {{ conv(4, 1x1) }}
    if nested[0][1][0] == 2 {{ conv(7, 1x1) }}
    head {{ avgpool(global); flatten; linear(10) }}
}}
"""

NAMES = list(space_from(TEXT).network.parameters)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "n.arch"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def flags(text: str) -> dict[str, str]:
    """The settings in a line of flags, as a shell splits it."""
    words = shlex.split(text)
    assert words[::2] == ["--set"] * (len(words) // 2)
    return dict(setting.split("=", 1) for setting in words[1::2])


def texts(values: dict[str, Any]) -> dict[str, str]:
    """Values of a JSON answer as the texts that a script passes to `--set`."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


@pytest.mark.parametrize("name", NAMES)
def test_solve_prints_values_that_give_the_same_network(name: str, spec: str) -> None:
    options = ["solve", spec, "--vary", name, "--under", "params=1M", "--count", "10"]
    answer = json.loads(run(*options, "--json"))
    assert len(answer["solutions"]) == answer["candidates"] == answer["valid"]
    for solution in answer["solutions"]:
        values = {key: value for key, value in solution.items() if key.partition("[")[0] == name}
        for settings in (values, texts(values)):
            cost = rx.load(spec, **settings).cost()
            assert (cost.params, cost.flops) == (solution["params"], solution["flops"])
        settings = [word for key, value in texts(values).items() for word in ("--set", f"{key}={value}")]
        network = json.loads(run("check", spec, *settings, "--json"))
        assert network["cost"]["params"] == solution["params"]
    (line,) = (each for each in run(*options).splitlines() if each.startswith("the first: "))
    first = rx.load(spec, **flags(line.removeprefix("the first: "))).cost()
    assert first.params == answer["solutions"][0]["params"]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_solve_shows_whole_values(name: str, spec: str) -> None:
    if name in ("each", "rates"):
        return  # one column for each element: the flags of the last line are tested above
    rows = run("solve", spec, "--vary", name, "--under", "params=1M", "--count", "10").splitlines()
    start = next(number for number, row in enumerate(rows) if row.strip().startswith(chr(0x2500))) + 1
    for row in rows[start : rows.index("", start) if "" in rows[start:] else start + 2]:
        cells = [cell for cell in row.strip().split("   ") if cell.strip()]
        if len(cells) < 4:
            break
        cost = rx.load(spec, **{name: cells[0].strip()}).cost()
        assert f"{cost.params:,}" == cells[1].strip()


def test_every_candidate_of_a_space_can_be_given_back_as_flags_and_as_json(spec: str) -> None:
    space = rx.space(spec)
    for candidate in space.sample(40, seed=3):
        wanted = space.bind(candidate).fingerprint
        assert rx.load(spec, **flags(str(candidate))).fingerprint == wanted
        again = space.candidate(json.loads(json.dumps(candidate.to_json())))
        assert again == candidate
        assert space.candidate(flags(str(candidate))) == candidate
        assert rx.load(spec, **texts(json.loads(json.dumps(candidate.to_json())))).fingerprint == wanted


def test_the_parameters_of_a_summary_can_be_given_back(spec: str) -> None:
    space = rx.space(spec)
    for candidate in space.sample(10, seed=4):
        settings = [word for pair in flags(str(candidate)).items() for word in ("--set", "=".join(pair))]
        shown = json.loads(run("summary", spec, *settings, "--json"))["parameters"]
        assert rx.load(spec, **shown).fingerprint == space.bind(candidate).fingerprint


def test_the_suggestion_of_a_budget_can_be_given_back(tmp_path: Path) -> None:
    spec = tmp_path / "n.arch"
    text = "network n { input image: 3x8x8\n param w = [8, 8] in {[8, 8], [2, 4]}\n conv(w[0], 1x1); conv(w[1], 1x1)\n"
    spec.write_text(f"{text} budget {{ params <= 50; flops <= 2000; activations >= 1 }} }}", encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(spec), "--format", "line"])
    assert result.exit_code == 1
    suggested = {line.split("`--set ")[1].split("`")[0] for line in result.stderr.splitlines()}
    assert suggested == {"'w=[2, 4]'"}  # one change for both limits
    assert result.stderr.count("would meet both limits") == 2
    (setting,) = suggested
    assert CliRunner().invoke(app, ["check", str(spec), "--set", *shlex.split(setting)]).exit_code == 0


@pytest.mark.parametrize("setting", ["each[0]=2", "rates[0]=0.1", "depths[0]=2"])
def test_an_element_can_be_set_in_solve_and_in_a_space(setting: str, spec: str) -> None:
    name, value = setting.split("=")
    wanted = rx.load(spec, channels=4, **{name: value}).cost().params
    answer = json.loads(run("solve", spec, "--set", setting, "--vary", "channels", "--minimize", "channels", "--json"))
    assert answer["solutions"][0]["params"] == wanted
    space = rx.space(spec, **{name: value})
    for candidate in space.sample(5):
        parameter, place = name[:-3], int(name[-2])
        assert space.bind(candidate).parameters[parameter].value[place] == type(
            space.network.parameters[parameter].value[place]
        )(float(value))
