"""Budgets: what a network uses of each limit, of parts, at other inputs; where it goes; what is measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from error_examples import net

import resnext_dsl as rx
from resnext_dsl.budgets import latency
from resnext_dsl.budgets import usage as budget
from resnext_dsl.budgets.latency import Timing
from resnext_dsl.budgets.measures import MEASURES
from resnext_dsl.display.stage_table import budget_lines

CHECKOUT = Path(__file__).parents[2]
BODY = """\
    stem { conv(16, 3x3); bn; relu }
    stage a repeat 2 { conv(16, 3x3); bn; relu }
    stage b {
        split 2 { conv(8, 1x1); conv(8, 3x3) } merge concat
    }
    output aux when training from a { avgpool(global); flatten; linear(4) }
    head { avgpool(global); flatten; linear(10) }
"""


def network(budgets: str) -> rx.Network:
    return rx.loads(net(BODY + budgets))


def used(limits: str, head: str = "budget") -> list[int | float | None]:
    return [line.used for line in network(f"{head} {{ {limits} }}").usage()]


def test_every_measure_has_a_row_that_reads_or_needs_a_machine() -> None:
    found = network("budget { params >= 0 }")
    for name, row in MEASURES.items():
        assert (row.read is None) == (name == "latency")
    cost, memory = found.cost(), found.memory()
    limits = "; ".join(f"{name} >= 0" for name, row in MEASURES.items() if row.read is not None)
    sums = [cost.params, cost.flops, cost.macs, cost.activations, cost.depth]
    assert used(limits) == [*sums, memory.weights, memory.peak_activations, memory.saved_activations]


def test_the_example_of_the_reference_holds_for_resnext50() -> None:
    page = (CHECKOUT / "docs" / "language.md").read_text(encoding="utf-8")
    example = next(
        text for text in re.findall(r"```arch[^\n]*\n(.*?)```", page, re.DOTALL) if text.startswith("budget {")
    )
    spec = (CHECKOUT / "specs" / "resnext50_32x4d.arch").read_text(encoding="utf-8")
    own = re.search(r"\n    budget \{.*\}\n", spec)
    assert own is not None
    found = rx.loads(spec.replace(own[0], f"\n{example}\n"))
    assert [line.limit.budget for line in found.check()] == [""] * 5 + ["mobile"] * 4


def test_limits_of_parts_scopes_and_operators() -> None:
    stages = network("").cost().by_stage()
    assert used("stem.flops >= 0; a.params >= 0; head.macs >= 0; aux.params >= 0; aux.flops >= 0") == [
        stages["stem"].flops,
        stages["a"].params,
        160,
        stages["aux"].params,
        0,
    ]
    assert used("a.1.conv.params >= 0; a.1.params >= 0; b.paths.0.activations >= 0") == [2304, 2336, 16 * 32 * 32]


def test_the_depth_of_a_part_is_that_of_the_longest_way_through_it() -> None:
    assert used("depth >= 0; stem.depth >= 0; a.depth >= 0; b.depth >= 0; b.paths.0.depth >= 0") == [6, 1, 2, 2, 2]


def test_a_budget_may_state_another_input() -> None:
    small = rx.loads(net(BODY).replace("3x32x32", "1x16x24")).cost()
    assert used("flops >= 0; params >= 0", "budget m(input=1x16x24)") == [small.flops, small.params]


def test_a_network_at_another_input_is_bound_once_and_leaves_the_first_alone() -> None:
    found = network("budget a(input=3x8x8) { flops >= 0; macs >= 0 }")
    before = found.cost().flops
    assert found.at((3, 8, 8)).ir.nodes[0].shape == (3, 8, 8)
    assert found.at((3, 32, 32)) is found
    assert found.usage()[0].used != before
    assert found.cost().flops == before


def test_boxes_hold_on_both_sides() -> None:
    params = network("").cost().params
    for box, kept in ((f"{params}..{params}", True), (f"1..{params - 1}", False), (f"{params + 1}..9M", False)):
        found = network(f"budget {{ params in {box} }}")
        assert all(line.met for line in found.usage()) == kept
    with pytest.raises(rx.BudgetError, match="the limit is >= 9,000,000") as caught:
        network("budget { params in 9M..10M }").check()
    (line,) = caught.value.diagnostics
    assert line.notes == ()  # what is too little has no lines that cost most


def test_budgets_are_picked_by_name_and_all_are_held_without() -> None:
    found = network("budget { params <= 1 }; budget small { params <= 2 }; budget large { params <= 9M }")
    assert [line.limit.budget for line in found.usage()] == ["", "small", "large"]
    assert found.check("large")[0].met
    with pytest.raises(rx.BudgetError, match="the limit of budget `small` is <= 2"):
        found.check("large", "small")
    with pytest.raises(rx.ArchError, match="unknown budget `smal`\n  help: did you mean `small`"):
        found.check("smal")
    with pytest.raises(rx.ArchError, match="help: budgets: small, large"):
        found.check("phone")
    with pytest.raises(rx.ArchError, match="help: no budget has a name"):
        network("").check("phone")


def test_an_exceeded_limit_names_the_lines_that_cost_most() -> None:
    found = network("budget { flops <= 1M; a.params <= 1K; depth <= 2 }")
    flops, params, depth = (line.costliest for line in found.usage())
    lines = found.cost().by_line()
    most = sorted(lines, key=lambda line: -lines[line].flops)[:3]
    assert [(note.span.source.name, note.span.line) for note in flops if note.span] == most
    share = 100 * lines[most[0]].flops / found.cost().flops
    assert flops[0].message == f"this line costs {lines[most[0]].flops:,} ({share:.1f}% of `flops`)"
    assert [note.message for note in params] == ["this line costs 4,672 (100.0% of `a.params`)"]
    assert depth == ()


def test_lines_of_a_library_are_named_with_their_file() -> None:
    text = "from std.blocks import bottleneck\nnetwork n { input image: 64x8x8\n bottleneck(64, 8, 1)\n budget { params <= 1 } }"
    (line,) = rx.loads(text).usage()
    assert line.costliest
    assert all(note.span is not None and note.span.source.name.endswith("std/blocks.arch") for note in line.costliest)


def test_memory_is_that_of_the_budgets_type_and_of_the_batch() -> None:
    found = network("")
    limits = "weights >= 0; peak_activations(4) >= 0; saved_activations(batch=2) >= 0"
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        four, two = found.memory(dtype, 4), found.memory(dtype, 2)
        expected = [four.weights, four.peak_activations, two.saved_activations]
        assert used(limits, f"budget m(dtype={dtype})") == expected
    assert used("weights >= 0") == [4 * found.cost().params]
    assert used("weights >= 0", "budget m(dtype=float16)") == [2 * found.cost().params]


def test_memory_is_that_of_the_budgets_input() -> None:
    small = rx.loads(net(BODY).replace("3x32x32", "3x16x16")).memory()
    limits = "peak_activations >= 0; saved_activations >= 0"
    assert used(limits, "budget m(input=3x16x16)") == [small.peak_activations, small.saved_activations]


def test_limits_of_memory_are_kept_or_exceeded_in_bytes() -> None:
    memory = network("").memory()
    peak, saved = memory.peak_activations, memory.saved_activations
    for limits, kept in (
        (f"weights <= {memory.weights}", True),
        (f"weights < {memory.weights}B", False),
        (f"peak_activations <= {peak // 1024}KiB", peak % 1024 == 0),
        (f"peak_activations <= {peak // 1000 + 1}KB", True),
        (f"saved_activations in {saved}B..1MB", True),
        (f"saved_activations <= {saved - 1}B", False),
    ):
        assert all(line.met for line in network(f"budget {{ {limits} }}").usage()) is kept, limits


def test_exceeded_memory_says_of_what_type_and_batch() -> None:
    memory = network("").memory("float16", 2)
    peak = memory.peak_activations
    with pytest.raises(
        rx.BudgetError,
        match=rf"`peak_activations\(2\)` at float16 is {peak:,} B \(\+[\d.]+%\); the limit of budget `m` is <= 1,000 B",
    ):
        network("budget m(dtype=float16) { peak_activations(batch=2) <= 1KB }").check()
    assert budget_lines(network("budget { weights <= 40KB }").usage()) == [
        "budget: weights 27,128 B <= 40,000 B (67.8%) ok"  # 6,782 parameters of 4 bytes
    ]


def test_a_latency_stays_open_where_it_is_not_measured() -> None:
    (line,) = network("budget { latency(cpu, 1) <= 1ns }").check()
    assert (line.used, line.met, line.timing) == (None, True, None)
    assert line.to_json()["ok"] is None
    assert budget_lines([line]) == ["budget: latency(cpu, 1) <= 1ns not measured; `--measure` does"]


def test_a_latency_is_timed_once_for_a_box_and_says_on_what() -> None:
    low, high = network("budget m(input=3x8x8) { latency(cpu, batch=2) in 1ns..60s }").check(measure=True)
    assert low.timing is high.timing
    timing = low.timing
    assert timing is not None
    assert (timing.dtype, timing.batch, timing.input) == ("float32", 2, (3, 8, 8))
    assert 0 < timing.low <= timing.median <= timing.high < 60
    assert timing.runs >= 10
    assert timing.threads >= 1
    assert timing.machine
    assert timing.device
    first, second = budget_lines([low, high])
    assert first.startswith("budget m at 3x8x8: latency(cpu, 2) ")
    assert first.endswith(" ok")
    assert f"median of {timing.runs} runs, half of them within " in second
    assert f", input 2x3x8x8 in float32, on {timing.machine}: {timing.device}, " in second
    assert f"{timing.threads} threads, torch {timing.torch}" in second


def test_an_exceeded_latency_is_a_violation() -> None:
    with pytest.raises(
        rx.BudgetError, match=r"`latency\(cpu, 1\)` at float64 is .*; the limit of budget `m` is <= 1ns"
    ):
        network("budget m(dtype=float64) { latency(cpu, 1) <= 1ns }").check(measure=True)


def test_measuring_leaves_torchs_generator_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    network("budget { latency(cpu, 1) <= 60s }").check(measure=True)
    assert torch.equal(torch.rand(4), expected)


def test_a_device_that_is_not_there_is_an_error_of_the_limit() -> None:
    with pytest.raises(
        rx.ArchError, match=r"this machine has no device `cuda:99`\n(.*\n)*  help: devices here: cpu"
    ) as e:
        network('budget { params <= 1; latency("cuda:99", 1) <= 1s }').check(measure=True)
    (found,) = e.value.diagnostics
    assert found.code == "E603"
    assert found.span is not None
    assert found.span.text == 'latency("cuda:99", 1) <= 1s'


def test_what_torch_cannot_run_is_an_error_of_the_limit() -> None:
    with pytest.raises(rx.ArchError, match="batch 2147483647 in float64 does not run on cpu: ") as caught:
        network("budget m(dtype=float64) { latency(cpu, 2**31 - 1) <= 1s }").check(measure=True)
    assert [d.code for d in caught.value.diagnostics] == ["E603"]


def test_times_are_shown_in_the_unit_that_fits() -> None:
    show = MEASURES["latency"].unit.show
    assert [show(v) for v in (5e-3, 1.23456e-6, 2.0, 0.0, 3e-9, 90.0)] == ["5ms", "1.235us", "2s", "0ns", "3ns", "90s"]


def test_derived_networks_have_limits_of_their_own_parts(tmp_path: Path) -> None:
    (tmp_path / "base.arch").write_text(
        "network base { input image: 3x8x8\n param width = 4\n stage a { conv(width, 3x3) } }\n"
    )
    limits = "a.params == width * 27; b.params <= 1"
    (tmp_path / "n.arch").write_text(
        f'from "base.arch" import base\nnetwork n = base(width=8) {{ budget {{ {limits} }} }}\n'
    )
    with pytest.raises(rx.ArchError, match="network `n` has no part `b`"):
        rx.load(tmp_path / "n.arch")
    (tmp_path / "n.arch").write_text((tmp_path / "n.arch").read_text().replace("; b.params <= 1", ""))
    assert [line.used for line in rx.load(tmp_path / "n.arch").check()] == [216]


def test_a_suggestion_is_the_hint_of_the_diagnostic() -> None:
    (line,) = network("budget { params <= 1 }").usage()
    assert line.suggestion == ""
    problem = budget.violations((line._replace(suggestion="`--set width=4` would"),))
    assert problem is not None
    assert problem.diagnostics[0].hint == "`--set width=4` would"


def test_a_latency_is_timed_again_for_another_type_input_batch_or_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of equal conditions share a timing; any other condition has its own."""
    runs: list[tuple[object, ...]] = []

    def timed(network: rx.Network, device: str, batch: int, dtype: str, span: object) -> Timing:
        shape = network.ir.nodes[0].shape
        runs.append((device, batch, dtype, shape))
        return Timing(float(len(runs)), 0.0, 0.0, 1, "m", "d", 1, "t", dtype, batch, shape)

    monkeypatch.setattr(latency, "latency", timed)
    lines = network(
        """budget { latency(cpu, 1) <= 60s; latency(cpu, 2) <= 60s }
    budget a(dtype=float64) { latency(cpu, 1) in 1ns..60s }
    budget b(input=3x8x8) { latency(cpu, 1) <= 60s }
    budget c(input=3x8x8, dtype=float64) { latency(cpu, 1) <= 60s }
    budget e { latency(cpu, 1) <= 50s }
    budget f { latency(cuda, 1) <= 50s }"""
    ).usage(measure=True)
    declared = lines[0].input
    assert runs == [
        ("cpu", 1, "float32", declared),
        ("cpu", 2, "float32", declared),
        ("cpu", 1, "float64", declared),
        ("cpu", 1, "float32", (3, 8, 8)),
        ("cpu", 1, "float64", (3, 8, 8)),
        ("cuda", 1, "float32", declared),
    ]
    assert [line.used for line in lines] == [1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 1.0, 6.0]
