"""What is wrong with a budget: one error each, with its place and its text."""

from __future__ import annotations

import pytest
from error_examples import net

import resnext_dsl as rx

BODY = "stage a { conv(8, 3x3); bn }\n    "


def errors(budget: str) -> list[rx.Diagnostic]:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(BODY + budget)).usage()
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(
    ("limit", "code", "at", "message", "hint"),
    [
        ("parms <= 1M", "E208", "parms", "unknown measure `parms`", "did you mean `params`?"),
        (
            "a.energy <= 1M",
            "E208",
            "energy",
            "unknown measure `energy`",
            "measures: params, flops, macs, activations, depth, weights, peak_activations, saved_activations, latency",
        ),
        ("weight <= 1MB", "E208", "weight", "unknown measure `weight`", "did you mean `weights`?"),
        (
            "params <= 5ms",
            "E210",
            "5ms",
            "`params` is a count; found `5ms`, a time",
            "write a plain number; K, M, G, T are powers of 1000",
        ),
        (
            "flops <= 64MiB",
            "E210",
            "64MiB",
            "`flops` is a count; found `64MiB`, a number of bytes",
            "write a plain number; K, M, G, T are powers of 1000",
        ),
        (
            "latency(cpu, 1) <= 5",
            "E210",
            "5",
            "the bound of `latency` needs a unit, because `latency` is a time",
            "units: ns, us, ms, s",
        ),
        (
            "latency(cpu, 1) <= 5MB",
            "E210",
            "5MB",
            "`latency` is a time; found `5MB`, a number of bytes",
            "units: ns, us, ms, s",
        ),
        ("flops <= 5m", "E002", "5m", "`5m` is not a number: there is no unit `m`", "did you mean `5M`?"),
        ("flops in 1 .. 4.1g", "E002", "4.1g", "`4.1g` is not a number: there is no unit `g`", "did you mean `4.1G`?"),
        ("flops in 3k..4K", "E002", "3k", "`3k` is not a number: there is no unit `k`", "did you mean `3K`?"),
        ("latency(cpu, 1) <= 5mS", "E002", "5mS", "`5mS` is not a number: there is no unit `mS`", "did you mean `ms`?"),
        (
            "params <= 5Q",
            "E002",
            "5Q",
            "`5Q` is not a number: there is no unit `Q`",
            "units: ns, us, ms, s, B, KB, MB, GB, TB, KiB, MiB, GiB, TiB; K, M, G, T multiply a plain number",
        ),
        (
            "latency(cpu, 1) <= -5ms",
            "E002",
            "5ms",
            "a number with a unit is allowed only as the whole bound of a limit; found `5ms`",
            "write `latency(cpu, 1) <= 5ms` in a budget",
        ),
        (
            "latency <= 5ms",
            "E202",
            "latency",
            "`latency` needs the arguments `device`, `batch`",
            "usage: `latency(device, batch)`",
        ),
        (
            "latency(cpu, 1, 2) <= 5ms",
            "E203",
            "2",
            "`latency` takes at most 2 arguments; this one is too many",
            "usage: `latency(device, batch)`",
        ),
        (
            "latency(cpu, btch=1) <= 5ms",
            "E201",
            "btch",
            "`latency` has no argument `btch`",
            "did you mean `batch`?",
        ),
        ("latency(gpu, 1) <= 5ms", "E101", "gpu", "unknown device `gpu`", "did you mean `cpu`?"),
        (
            'latency("tpu", 1) <= 5ms',
            "E205",
            '"tpu"',
            '`device` must be cpu, cuda or a numbered one such as "cuda:1"; found "tpu"',
            "",
        ),
        ("latency(cpu, 0) <= 5ms", "E205", "0", "`batch` must be an int of at least 1; found 0", ""),
        ("latency(cpu, 1.5) <= 5ms", "E204", "1.5", "`batch` must be an int of at least 1; found 1.5", ""),
        (
            "a.latency(cpu, 1) <= 5ms",
            "E105",
            "a.latency(cpu, 1)",
            "`latency` is a measure of the whole network, not of a part",
            "write `latency(device, batch)`",
        ),
        (
            "a.weights <= 1MB",
            "E105",
            "a.weights",
            "`weights` is a measure of the whole network, not of a part",
            "write `weights`",
        ),
        (
            "a.conv.peak_activations(2) <= 1MB",
            "E105",
            "a.conv.peak_activations(2)",
            "`peak_activations` is a measure of the whole network, not of a part",
            "write `peak_activations(batch)`",
        ),
        (
            "a.saved_activations <= 1MB",
            "E105",
            "a.saved_activations",
            "`saved_activations` is a measure of the whole network, not of a part",
            "write `saved_activations(batch)`",
        ),
        (
            "weights(1) <= 1MB",
            "E203",
            "1",
            "`weights` takes no arguments",
            "remove it",
        ),
        ("peak_activations(0) <= 1MB", "E205", "0", "`batch` must be an int of at least 1; found 0", ""),
        (
            "saved_activations <= 5ms",
            "E210",
            "5ms",
            "`saved_activations` is a number of bytes; found `5ms`, a time",
            "units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB",
        ),
        (
            "flops(1) <= 5M",
            "E203",
            "1",
            "`flops` takes no arguments",
            "remove it",
        ),
        ("conv9.flops <= 5M", "E101", "conv9", "network `n` has no part `conv9`", "parts: a"),
        ("a.cnv.flops <= 5M", "E101", "a.cnv", "network `n` has no part `a.cnv`", "did you mean `a.conv`?"),
        ("a.0.flops <= 5M", "E101", "a.0", "network `n` has no part `a.0`", "`a` contains: a.bn, a.conv"),
        ("params in 5M..4M", "E205", "5M..4M", "the range 5M..4M is empty", "did you mean `4M..5M`?"),
        (
            "latency(cpu, 1) in 5ms..4us",
            "E205",
            "5ms..4us",
            "the range 5ms..4us is empty",
            "did you mean `4us..5ms`?",
        ),
        ("params >= -1", "E205", "-1", "a bound must be at least 0; found -1", ""),
        ("params <= 3x3", "E204", "3x3", "a bound must be a number; found 3x3", ""),
        ("params <= true", "E204", "true", "a bound must be a number; found true", ""),
        ("params <= wdth", "E101", "wdth", "unknown name `wdth`", ""),
        ("params != 1", "E002", "!=", "a limit cannot use `!=`", "use <=, <, >=, > or =="),
        (
            "params = 1",
            "E002",
            "=",
            "a limit must compare a measure with a number; found `=`",
            "write `params <= 25.1M`, or `flops in 4.0G..4.3G`",
        ),
        (
            "params <= 1M; params < 2M",
            "E102",
            "params < 2M",
            "`params` has an upper bound already in this budget",
            "",
        ),
        (
            "a.flops in 1..2G; a.flops >= 1",
            "E102",
            "a.flops >= 1",
            "`a.flops` has a lower bound already in this budget",
            "",
        ),
    ],
)
def test_a_limit_that_says_nothing_is_one_error(limit: str, code: str, at: str, message: str, hint: str) -> None:
    (found,) = errors(f"budget {{ {limit} }}")
    assert found.span is not None
    assert (found.code, found.span.text, found.message, found.hint) == (code, at, message, hint)
    assert found.span.line == 4


@pytest.mark.parametrize(
    ("budget", "code", "at", "message", "hint"),
    [
        (
            "budget m(inptu=3x8x8) {}",
            "E201",
            "inptu",
            "`budget` has no argument `inptu`",
            "did you mean `input`?",
        ),
        (
            "budget m(input=3x8x8x8x8) {}",
            "E205",
            "3x8x8x8x8",
            "an input is channels x length, channels x height x width, channels x time x height x width, or a number of "
            "features; found 3x8x8x8x8",
            "",
        ),
        (
            "budget m(input=3 x 2147483648 x 8) {}",
            "E205",
            "3 x 2147483648 x 8",
            "every size must be at most 2147483647; found 3x2147483648x8",
            "",
        ),
        ("budget m(input=3x0x8) {}", "E205", "3x0x8", "every size must be at least 1; found 3x0x8", ""),
        ("budget m(input=relu) {}", "E204", "relu", "an input needs a shape like 3x224x224; found relu", ""),
        ("budget m(dtype=flaot16) {}", "E101", "flaot16", "unknown dtype `flaot16`", "did you mean `float16`?"),
        (
            'budget m(dtype="int8") {}',
            "E205",
            '"int8"',
            '`dtype` must be one of float64, float32, bfloat16, float16; found "int8"',
            "",
        ),
        (
            "budget m {}; budget m {}",
            "E102",
            "m",
            "budget `m` is declared twice",
            "give it another name, or write one budget",
        ),
        (
            "budget {}; budget {}",
            "E102",
            "budget",
            "a second budget without a name",
            "give it another name, or write one budget",
        ),
        (
            "budget m(input=7) { params <= 1M }",
            "E301",
            "7",
            "with an input of 7, `conv` needs a feature map (channels x height x width); found 7 features",
            "put it before `flatten`",
        ),
    ],
)
def test_a_budget_that_cannot_be_held_is_one_error(budget: str, code: str, at: str, message: str, hint: str) -> None:
    (found,) = errors(budget)
    assert found.span is not None
    assert (found.code, found.span.text, found.message, found.hint) == (code, at, message, hint)


def test_an_error_is_rendered_with_its_caret_and_the_place_before() -> None:
    (found,) = errors("budget { params <= 1M; params <= 2M }")
    assert found.render() == (
        "<spec>:4:28: error[E102]: `params` has an upper bound already in this budget\n"
        "   |\n"
        " 4 |     budget { params <= 1M; params <= 2M }\n"
        "   |                            ^^^^^^^^^^^^\n"
        "  note: <spec>:4:14: the first one is here"
    )


def test_wrong_limits_come_in_one_run_with_other_mistakes() -> None:
    found = errors("budget { parms <= 1M; b.flops <= 1; depth <= x }\n    budget m(dtype=float8) { flops <= 5ms }")
    assert [d.code for d in found] == ["E208", "E101", "E101", "E101", "E210"]


def test_names_in_budgets_are_names_in_use() -> None:
    body = 'param most = 5M\n    param d = "cpu"\n    budget b(input=3 x size x size) { params <= most; latency(d, 1) <= 1s }'
    assert rx.loads(net(f"let size = 8\n    {BODY}{body}")).warnings == ()


@pytest.mark.parametrize("name", ["stem", "head", "path", "input", "output", "step", "x"])
def test_words_of_the_language_may_name_a_part_and_a_budget(name: str) -> None:
    part = name if name in ("stem", "head") else f"stage {name}"
    network = rx.loads(net(f"{part} {{ conv(8, 3x3) }}\n    budget {name} {{\n        {name}.params == 216\n    }}"))
    assert [(line.limit.budget, line.used) for line in network.check()] == [(name, 216)]
