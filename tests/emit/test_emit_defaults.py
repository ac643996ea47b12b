"""The tables about torch that emit has without importing torch, compared with torch."""

from __future__ import annotations

import inspect
from typing import Any

import emit_oracle
import pytest
from torch import nn

from resnext_dsl.emit.patterns.keyword_defaults import DEFAULTS
from resnext_dsl.emit.text.class_text import _POSITIONAL
from resnext_dsl.emit.text.weight_init import SCHEMES
from resnext_dsl.operators import OPERATORS, validate
from resnext_dsl.semantics import naming
from resnext_dsl.semantics.init_schemes import SCHEMES as DECLARED


def signature(target: str) -> inspect.Signature:
    return inspect.signature(eval(target, emit_oracle._NAMES))


@pytest.mark.parametrize("target", DEFAULTS)
def test_defaults_are_torchs(target: str) -> None:
    parameters = signature(target).parameters
    for name, default in DEFAULTS[target].items():
        actual = parameters[name].default if name in parameters else nn.LayerNorm([1]).__dict__[name]
        assert actual == default
        assert type(actual) is type(default)


@pytest.mark.parametrize("target", _POSITIONAL)
def test_positional_arguments_are_those_of_the_class(target: str) -> None:
    accepted = [p.name for p in signature(target).parameters.values()]
    renamed = {"kernel": "kernel_size", "groups": "num_groups", "num_features": "num_channels"}
    for name, actual in zip(_POSITIONAL[target], accepted, strict=False):
        assert actual in (name, renamed.get(name), "groups", "channels")


def test_schemes_are_those_that_the_language_knows() -> None:
    assert {name: [argument[0] for argument in formals] for name, formals in DECLARED.items()} == {
        name: list(arguments) for name, arguments in SCHEMES.items()
    }


def test_fields_are_those_that_modules_have() -> None:
    examples: dict[str, dict[str, Any]] = {
        "conv": {"channels": 4, "kernel": 1, "bias": True, "standardize": "scaled"},
        "conv_transpose": {"channels": 4, "kernel": 1, "bias": True},
        "channel_conv": {"kernel": 3},
        "linear": {"features": 4},
        "groupnorm": {"groups": 2},
        "instancenorm": {"affine": True},
    }
    for name, row in OPERATORS.items():
        if not row.init_fields:
            continue
        source = row.source(validate(row, examples.get(name, {})), ((4,) if name == "linear" else (4, 3, 3),))
        module = eval(source.target, emit_oracle._NAMES)(*source.positional, **dict(source.keywords))
        assert tuple(field for field, _ in module.named_parameters()) == row.init_fields


def test_no_node_has_a_name_that_a_module_needs() -> None:
    attributes = {*dir(nn.Module()), *dir(nn.Sequential()), *dir(nn.ModuleList())} - {"T_destination"}
    methods = {"num_features", "feature_info", "forward_features", "forward_head", "forward_stages", "init_weights"}
    methods |= {"reset_classifier", "set_grad_checkpointing"}
    assert not {name for name in attributes | methods if not name.startswith("_") and naming.safe(name) == name}
