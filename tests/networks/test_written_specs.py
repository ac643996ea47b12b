"""Specs as people write them: the package reads each one as the reference interpreter does, or both reject it.

Columns, samples, the formatter, emitted source and compiled modules are held against the same interpreter.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from emit_oracle import check_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter_agreement import agree
from reference_interpreter import Interpretation, interpret
from reference_operators import RejectedError
from spec_strategies import PARAMETERS, Written, written_specs

import resnext_dsl as rx
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.spaces.space import Space, space_of


def interpreted(written: Written, **overrides: Any) -> Interpretation | None:
    """The reading of the interpreter; None if it rejects the spec."""
    try:
        return interpret(written.main, written.folder(), **overrides)
    except RejectedError:
        return None


def loaded(written: Written, **overrides: Any) -> rx.Network | None:
    """The reading of the package; None if it rejects the spec."""
    try:
        return written.load(**overrides)
    except rx.ArchError:
        return None


def hold(written: Written, **overrides: Any) -> None:
    """Asserts that both read the same, or that both reject."""
    wanted, network = interpreted(written, **overrides), loaded(written, **overrides)
    assert (network is None) == (wanted is None)
    if network is not None and wanted is not None:
        agree(network, wanted)


@st.composite
def overridden(draw: st.DrawFn, written: Written, names: tuple[str, ...] = tuple(PARAMETERS)) -> dict[str, Any]:
    """Values of some of the parameters, also outside their domains."""
    declared = [name for name in written.parameters if name in names]
    picked = draw(st.lists(st.sampled_from(declared), unique=True)) if declared else []
    return {name: draw(st.sampled_from(PARAMETERS[name].values)) for name in picked}


def check_reading(data: st.DataObject) -> None:
    written = data.draw(written_specs())
    hold(written)
    hold(written, **data.draw(overridden(written)))


@settings(max_examples=60)
@given(st.data())
def test_a_spec_reads_as_the_interpreter_reads_it(data: st.DataObject) -> None:
    check_reading(data)


@pytest.mark.slow
@settings(max_examples=1500)
@given(st.data())
def test_many_specs_read_as_the_interpreter_reads_them(data: st.DataObject) -> None:
    check_reading(data)


# --- the space ---


def space_from(written: Written) -> Space | None:
    """The space of a spec; None if the package rejects the spec."""
    try:
        return space_of(text_source(written.main, "<spec>", DEFAULTS), written.folder(), DEFAULTS, {})
    except rx.ArchError:
        return None


def check_columns(data: st.DataObject) -> None:
    written = data.draw(written_specs(budgets=False))
    space = space_from(written)
    varied = [name for name in written.parameters if name != "act"]
    if space is None or not varied:
        return
    rows = st.fixed_dictionaries({name: st.sampled_from(PARAMETERS[name].values) for name in varied})
    candidates = data.draw(st.lists(rows, min_size=1, max_size=6))
    found = space.cost({name: [candidate[name] for candidate in candidates] for name in varied})
    for place, candidate in enumerate(candidates):
        wanted = interpreted(written, **candidate)
        figures = [getattr(found, measure)[place] for measure in ("params", "flops", "macs", "activations")]
        assert found.valid[place] == (wanted is not None), (found.method, candidate)
        assert tuple(figures) == (wanted.totals if wanted is not None else (0, 0, 0, 0)), (found.method, candidate)


@settings(max_examples=50)
@given(st.data())
def test_columns_cost_what_the_interpreter_counts_one_by_one(data: st.DataObject) -> None:
    check_columns(data)


@pytest.mark.slow
@settings(max_examples=800)
@given(st.data())
def test_many_columns_cost_what_the_interpreter_counts(data: st.DataObject) -> None:
    check_columns(data)


def grid_of(written: Written) -> list[dict[str, Any]]:
    """Every candidate of a spec; `extra` is left out where its condition does not hold."""
    picked = [PARAMETERS[name].picked for name in written.parameters]
    rows = [dict(zip(written.parameters, values, strict=True)) for values in itertools.product(*picked)]
    distinct = {repr(row): row for row in ({k: v for k, v in r.items() if k != "extra" or r["flag"]} for r in rows)}
    return list(distinct.values())


def is_kept(written: Written, candidate: dict[str, Any]) -> bool:
    """Whether the interpreter finds that a candidate is valid and keeps every budget."""
    wanted = interpreted(written, **candidate)
    return wanted is not None and all(verdict.met for verdict in wanted.verdicts)


def check_samples(written: Written) -> None:
    """Samples keep the budgets; a small space has exactly the candidates that keep them."""
    space = space_from(written)
    if space is None:
        return
    try:
        sample = [as_row(candidate) for candidate in space.sample(4)]
    except rx.RequirementError:
        sample = []
    assert all(is_kept(written, candidate) for candidate in sample)
    grid = grid_of(written)
    assert space.size is None or not written.parameters or len(grid) <= space.size
    if len(grid) <= 12:
        kept = [candidate for candidate in grid if is_kept(written, candidate)]
        assert sorted(map(repr, map(as_row, space))) == sorted(map(repr, kept))
        assert bool(sample) == bool(kept)


def as_row(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate with lists in place of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in candidate.items()}


@settings(max_examples=30)
@given(written_specs(smallest=True))
def test_samples_keep_the_budgets_of_the_interpreter(written: Written) -> None:
    check_samples(written)


@pytest.mark.slow
@settings(max_examples=500)
@given(written_specs())
def test_many_samples_keep_the_budgets_of_the_interpreter(written: Written) -> None:
    check_samples(written)


# --- text and modules ---


def check_text(written: Written) -> None:
    """The formatter's output is read the same way."""
    formatted = format_text(text_source(written.main, "<spec>", DEFAULTS))
    assert interpreted(written._replace(main=formatted)) == interpreted(written)
    assert format_text(text_source(formatted, "<spec>", DEFAULTS)) == formatted


@settings(max_examples=40)
@given(written_specs())
def test_a_formatted_spec_is_read_the_same_way(written: Written) -> None:
    check_text(written)


@pytest.mark.slow
@settings(max_examples=600)
@given(written_specs())
def test_many_formatted_specs_are_read_the_same_way(written: Written) -> None:
    check_text(written)


def check_module(written: Written) -> None:
    """The written form and the emitted text have the interpreter's parameters and the shapes of its outputs."""
    wanted, network = interpreted(written), loaded(written)
    if network is None or wanted is None or len(wanted.operations) > 120:
        return
    names: dict[str, Any] = {}
    exec(network.emit(form="written"), names)
    emitted = next(value for value in names.values() if isinstance(value, type) and hasattr(value, "forward_features"))
    state = network.compile(form="written").state_dict()
    for module in (check_equal(network.ir), with_state(emitted(), state), network.compile()):
        assert sum(tensor.numel() for tensor in module.parameters()) == wanted.totals[0]
        results = module.train()(torch.rand(2, *wanted.operations[0].shape))
        shapes = [tuple(result.shape[1:]) for result in (results if isinstance(results, tuple) else (results,))]
        outputs = sorted(wanted.outputs, key=lambda output: output[2])  # those of training come last
        assert shapes == [wanted.operations[at].shape for _, at, _ in outputs]


def with_state(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A module with every weight of another."""
    module.load_state_dict(state)
    return module


@settings(max_examples=12)
@given(written_specs(budgets=False, smallest=True))
def test_a_module_has_the_parameters_and_shapes_of_the_interpreter(written: Written) -> None:
    check_module(written)


@pytest.mark.slow
@settings(max_examples=150)
@given(written_specs(budgets=False))
def test_many_modules_have_the_parameters_and_shapes_of_the_interpreter(written: Written) -> None:
    check_module(written)
