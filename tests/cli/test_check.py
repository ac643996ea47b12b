"""`resnext-dsl check`: answers, errors and exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnext_dsl.cli.app import app

SMALL = """\
network small {
    input image: 3x8x8
    param width = 4 in 1..64
    require width < 40, "the bus is narrow"
    stem { conv(width, 3x3); bn; relu }
    head { avgpool(global); flatten; linear(2) }
    budget { params <= 150; flops <= 20K }
}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.arch").write_text(SMALL)
    return "small.arch"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_good_spec_is_answered_with_its_cost(spec: str) -> None:
    status, out, err = run("check", spec)
    assert status == 0
    assert err == ""
    # conv 4*3*9, bn 2*4, linear 4*2+2; conv 108 per pixel of 64, bn 2 per value, pooling 1 per value, linear 8
    assert out.splitlines() == [
        "small: 126 parameters, 7,688 FLOPs (6,920 in convolutions and linear layers), 258 activations, depth 2",
        "FLOPs are fused multiply-adds as fvcore counts them, batch 1; fvcore does not count flatten, relu",
        "budget: params 126 <= 150 (84.0%) ok",
        "budget: flops 7,688 <= 20,000 (38.4%) ok",
    ]


def test_an_exceeded_budget_is_status_1_with_every_limit(spec: str) -> None:
    status, out, err = run("check", spec, "--set", "width=16")
    assert status == 1
    assert "budget: params 498 <= 150 (332.0%) EXCEEDED" in out
    assert err == (
        "small.arch:7:14: error[E601]: `params` is 498 (+232.0%); the limit is <= 150\n"
        "   |\n"
        " 7 |     budget { params <= 150; flops <= 20K }\n"
        "   |              ^^^^^^^^^^^^^\n"
        "  note: small.arch:5:12: this line costs 464 (93.2% of `params`)\n"
        "  note: small.arch:6:12: this line costs 34 (6.8% of `params`)\n"
        "  help: `--set width=4` would meet both limits, with 126\n"
        "\n"
        "small.arch:7:29: error[E601]: `flops` is 30,752 (+53.8%); the limit is <= 20,000\n"
        "   |\n"
        " 7 |     budget { params <= 150; flops <= 20K }\n"
        "   |                             ^^^^^^^^^^^^\n"
        "  note: small.arch:5:12: this line costs 29,696 (96.6% of `flops`)\n"
        "  note: small.arch:6:12: this line costs 1,056 (3.4% of `flops`)\n"
        "  help: `--set width=4` would meet both limits, with 7,688\n"
        "\n"
        "2 errors\n"
    )


def test_a_value_that_refers_to_its_own_parameter_is_status_2(spec: str) -> None:
    status, out, err = run("check", spec, "--set", "width=width")
    assert (status, out) == (2, "")
    assert err == (
        "<override width>:1:1: error[E101]: `width` has no value here, because its own value is computed from it\n"
        "   |\n"
        " 1 | width\n"
        "   | ^^^^^\n"
    )


def test_an_unmet_requirement_is_status_1_with_its_reason(spec: str) -> None:
    status, out, err = run("check", spec, "--set", "width=64")
    assert status == 1
    assert out == ""
    assert "small.arch:4:13: error[E602]: a requirement is not met: the bus is narrow\n" in err


def test_a_wrong_spec_is_status_2_with_place_and_suggestion(spec: str) -> None:
    Path(spec).write_text(SMALL.replace("relu", "rleu"))
    status, out, err = run("check", spec)
    assert status == 2
    assert out == ""
    assert err == (
        "small.arch:5:34: error[E101]: unknown operator or template `rleu`\n"
        "   |\n"
        " 5 |     stem { conv(width, 3x3); bn; rleu }\n"
        "   |                                  ^^^^\n"
        "  in the stem at small.arch:5:5\n"
        "  help: did you mean `relu`?\n"
    )


def test_json_of_a_good_spec_has_the_promised_keys(spec: str) -> None:
    status, out, _ = run("check", spec, "--json")
    answer = json.loads(out)
    assert status == 0
    assert list(answer) == ["ok", "diagnostics", "cost", "budgets"]
    assert answer["ok"] is True
    assert answer["cost"] == {"params": 126, "flops": 7688, "macs": 6920, "activations": 258}
    assert [line["used"] for line in answer["budgets"]] == [126, 7688]


def test_json_of_a_wrong_spec_goes_to_standard_output(spec: str) -> None:
    Path(spec).write_text(SMALL.replace("conv(width", "conv(wdth"))
    status, out, err = run("check", spec, "--json")
    answer = json.loads(out)
    assert (status, err) == (2, "")
    assert answer["ok"] is False
    assert answer["cost"] is None
    (diagnostic,) = (d for d in answer["diagnostics"] if d["severity"] == "error")
    assert {key: diagnostic[key] for key in ("code", "file", "line", "column", "end_line", "end_column", "hint")} == {
        "code": "E101",
        "file": "small.arch",
        "line": 5,
        "column": 17,
        "end_line": 5,
        "end_column": 21,
        "hint": "did you mean `width`?",
    }


def test_json_of_an_exceeded_budget_is_status_1(spec: str) -> None:
    status, out, _ = run("check", spec, "--json", "--set", "width=16")
    answer = json.loads(out)
    assert status == 1
    assert answer["ok"] is False
    assert [d["code"] for d in answer["diagnostics"]] == ["E601", "E601"]
    assert [line["ok"] for line in answer["budgets"]] == [False, False]


def test_cost_is_stated_with_and_without_the_outputs_of_training() -> None:
    status, out, _ = run("check", "googlenet")
    assert status == 0
    lines = out.splitlines()
    assert "1,504,878,688 FLOPs" in lines[0]
    # each head: pooling of 14x14, 1x1 convolution to 128 at 4x4, its norm, two linear layers
    heads = sum(c * 14 * 14 + 4 * 4 * c * 128 + 2 * 128 * 16 + 2048 * 1024 + 1024 * 1000 for c in (512, 528))
    assert lines[1] == f"with the outputs of training: {1_504_878_688 + heads:,} FLOPs"


def test_a_setting_without_value_is_status_2(spec: str) -> None:
    status, _, err = run("check", spec, "--set", "width")
    assert (status, err) == (2, "error: `--set width` is not NAME=VALUE\n")


def test_an_unknown_network_names_the_nearest(spec: str) -> None:
    status, _, err = run("check", "resnext50_32x4")
    assert status == 2
    assert "`resnext50_32x4` is neither a file nor a shipped network" in err
    assert "did you mean `resnext50_32x4d`?" in err


WIDE = SMALL.replace("network small", "network wide").replace("= 4 in", "= 16 in")


def test_several_specs_are_checked_and_the_worst_is_the_status(spec: str) -> None:
    Path("wide.arch").write_text(WIDE)
    Path("wrong.arch").write_text(SMALL.replace("relu", "rleu"))
    status, out, err = run("check", spec, "wide.arch")
    assert status == 1
    assert [line.partition(":")[0] for line in out.splitlines() if "parameters" in line] == ["small", "wide"]
    assert "wide.arch:7:14: error[E601]" in err
    status, out, err = run("check", "wrong.arch", "wide.arch", spec)
    assert status == 2
    assert "wide: 498 parameters" in out
    assert "unknown operator or template `rleu`" in err
    assert run("check", spec, spec)[0] == 0


def test_json_of_several_specs_has_an_answer_for_each(spec: str) -> None:
    Path("wide.arch").write_text(WIDE)
    status, out, _ = run("check", spec, "wide.arch", "--json")
    answer = json.loads(out)
    assert (status, list(answer), answer["ok"]) == (1, ["ok", "specs"], False)
    assert [(each["spec"], each["ok"]) for each in answer["specs"]] == [("small.arch", True), ("wide.arch", False)]
    for name, each in zip(("small.arch", "wide.arch"), answer["specs"], strict=True):
        alone = json.loads(run("check", name, "--json")[1])
        assert each == {"spec": name} | alone


def test_json_of_a_budget_says_what_it_holds_for(spec: str) -> None:
    budget = "budget small(input=3x16x16, dtype=float16) { stem.flops <= 100K; latency(cpu, 1) <= 5ms }"
    Path(spec).write_text(SMALL.replace("budget { params <= 150; flops <= 20K }", budget))
    status, out, _ = run("check", spec, "--json")
    flops, latency = json.loads(out)["budgets"]
    assert status == 0
    assert flops == {
        "budget": "small",
        "measure": "flops",
        "comparison": "<=",
        "allowed": 100_000,
        "used": 4 * 108 // 4 * 256 + 2 * 4 * 256,
        "ok": True,
        "line": 7,
        "part": "stem",
        "arguments": {},
        "unit": "",
        "input": [3, 16, 16],
        "dtype": "float16",
        "suggestion": "",
        "measured": None,
    }
    assert (latency["allowed"], latency["unit"], latency["used"], latency["ok"]) == (0.005, "s", None, None)
    assert latency["arguments"] == {"device": "cpu", "batch": 1}


def test_budgets_are_picked_by_name(spec: str) -> None:
    budgets = "budget { params <= 1 }; budget small { params <= 150 }; budget large { params <= 10K }"
    Path(spec).write_text(SMALL.replace("budget { params <= 150; flops <= 20K }", budgets))
    status, out, _ = run("check", spec, "--budget", "small", "--budget", "large")
    assert status == 0
    assert out.splitlines()[2:] == [
        "budget small: params 126 <= 150 (84.0%) ok",
        "budget large: params 126 <= 10,000 (1.3%) ok",
    ]
    assert run("check", spec)[0] == 1
    status, out, err = run("check", spec, "--budget", "smal")
    assert (status, out) == (2, "")
    assert err == "small.arch: error[E101]: unknown budget `smal`\n  help: did you mean `small`?\n"


def test_a_latency_is_measured_when_asked_for(spec: str) -> None:
    Path(spec).write_text(SMALL.replace("params <= 150", "latency(cpu, 1) <= 50s"))
    assert "budget: latency(cpu, 1) <= 50s not measured; `--measure` does" in run("check", spec)[1]
    status, out, _ = run("check", spec, "--measure")
    assert status == 0
    assert re.search(
        r"^budget: latency\(cpu, 1\) \S+ <= 50s \(0\.0%\) ok\n  median of \d+ runs, half", out, re.MULTILINE
    )


def test_a_device_that_is_not_there_is_status_2(spec: str) -> None:
    Path(spec).write_text(SMALL.replace("params <= 150", 'latency("cuda:99", 1) <= 5ms'))
    assert run("check", spec)[0] == 0
    status, _, err = run("check", spec, "--measure")
    assert status == 2
    assert err.startswith("small.arch:7:14: error[E603]: this machine has no device `cuda:99`\n")
    assert "Traceback" not in err


def test_problems_on_one_line_each(spec: str) -> None:
    Path("wrong.arch").write_text(SMALL.replace("relu", "rleu"))
    status, _, err = run("check", "wrong.arch", spec, "--set", "width=16", "--format", "line")
    assert status == 2
    assert err.splitlines() == [
        "wrong.arch:5:34: error[E101]: unknown operator or template `rleu`; did you mean `relu`?",
        "small.arch:7:14: error[E601]: `params` is 498 (+232.0%); the limit is <= 150; `--set width=4` would meet both limits, with 126",
        "small.arch:7:29: error[E601]: `flops` is 30,752 (+53.8%); the limit is <= 20,000; "
        "`--set width=4` would meet both limits, with 7,688",
    ]


def test_problems_as_annotations_of_github(spec: str) -> None:
    Path("a,b:c.arch").write_text(SMALL.replace("width <", "wide <"))
    status, _, err = run("check", "a,b:c.arch", spec, "none.arch", "--set", "width=16", "--format", "github")
    assert status == 2
    assert err.splitlines() == [
        "::error file=a%2Cb%3Ac.arch,line=4,col=13,endLine=4,endColumn=17,title=E101::unknown name `wide`",
        "::error file=small.arch,line=7,col=14,endLine=7,endColumn=27,title=E601::"
        "`params` is 498 (+232.0%25); the limit is <= 150; `--set width=4` would meet both limits, with 126",
        "::error file=small.arch,line=7,col=29,endLine=7,endColumn=41,title=E601::"
        "`flops` is 30,752 (+53.8%25); the limit is <= 20,000; `--set width=4` would meet both limits, with 7,688",
        "::error file=none.arch,title=E505::there is no file `none.arch`; `resnext-dsl zoo` lists the shipped networks",
    ]


def test_two_forms_of_one_answer_are_status_2(spec: str) -> None:
    status, out, err = run("check", spec, "--json", "--format", "github")
    assert (status, out) == (2, "")
    assert err == "error: `--json` and `--format` are two forms of one answer: give one of them\n"


def test_a_file_without_a_network_is_wrong_unless_libraries_are_expected(spec: str) -> None:
    Path("blocks.arch").write_text("template block(c) { conv(c, 3x3) }\n")
    status, _, err = run("check", "blocks.arch")
    assert (status, "error[E504]: the file has no network" in err) == (2, True)
    assert run("check", "--libraries", "blocks.arch") == (0, "blocks.arch: a library without errors\n", "")
    assert json.loads(run("check", "--libraries", "blocks.arch", "--json")[1])["ok"] is True
    Path("blocks.arch").write_text(SMALL + SMALL.replace("small", "other"))
    assert run("check", "--libraries", "blocks.arch")[0] == 2


def test_torch_is_not_imported_by_check_summary_and_zoo(spec: str) -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from resnext_dsl.cli.app import app\n"
        "for command in (['check', 'resnet18', 'vgg11', '--format', 'github'], ['summary', 'resnet18', '--depth', '2'], ['zoo', 'vgg']):\n"
        "    assert CliRunner().invoke(app, command).exit_code == 0\n"
        "print([name for name in ('torch', 'fvcore', 'networkx') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_check_imports_what_it_needs_and_no_other_command(spec: str) -> None:
    program = (
        "import sys\n"
        "sys.argv = ['resnext-dsl', 'check', 'resnet18']\n"
        "from resnext_dsl.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "rooms = sorted(name for name in sys.modules if name.startswith('resnext_dsl.cli.'))\n"
        "slow = [name for name in ('rich', 'lark', 'pydantic', 'networkx', 'numpy', 'dataclasses') if name in sys.modules]\n"
        "print(rooms, slow, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "['resnext_dsl.cli.answers', 'resnext_dsl.cli.app', 'resnext_dsl.cli.check'] []\n"
