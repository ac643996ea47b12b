"""Domains that are proposed for the parameters of an imported text."""

from __future__ import annotations

import pytest

import resnext_dsl as rx
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.importing.proposed_space import _domain, with_domains
from resnext_dsl.semantics.spec_files import text_source

NAMES = ("resnext50_32x4d", "mobilenetv3_large_100", "regnetx_002", "vgg16_bn")


@pytest.mark.parametrize(
    ("name", "value", "domain"),
    [
        ("depths", "[3, 4, 6, 1]", "[1..6, 1..8, 1..12, 1..2]"),
        ("depths", "[3, 0]", ""),
        ("width", "128", "64..256 step 16"),
        ("width", "4", "2..8"),
        ("channels", "[24, 40]", "[12..48 step 2, 20..80 step 4]"),
        ("channels", "1", ""),
        ("cardinality", "32", "{1, 2, 4, 8, 16, 32, 64}"),
        ("cardinality", "3", "{1, 2, 3, 4}"),
        ("kernel", "3x3", "{3x3, 5x5, 7x7}"),
        ("kernel", "9x9", "{3x3, 5x5, 7x7, 9x9}"),
        ("kernel", "1x7", ""),
        ("resolution", "224", "96..320 step 32"),
        ("resolution", "299", ""),
        ("classes", "1000", ""),
        ("width", "classes * 2", ""),
        ("width", "true", ""),
    ],
)
def test_a_domain_holds_the_value_and_its_neighbours(name: str, value: str, domain: str) -> None:
    assert _domain(name, value) == domain
    if domain:
        text = f"network n {{ input image: 3x8x8\n param p = {value} in {domain}\n relu }}"
        assert rx.loads(text).parameters["p"].domain is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_the_default_of_its_space(name: str) -> None:
    text = rx.load(name).to_arch()
    proposed = with_domains(text)
    assert format_text(text_source(proposed, "<text>", DEFAULTS)) == proposed
    assert rx.loads(proposed).fingerprint == rx.load(name).fingerprint
    assert {**rx.loads(proposed).parameters}.keys() == {**rx.loads(text).parameters}.keys()


def test_candidates_of_a_proposed_space_are_networks(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("space") / "near.arch"
    path.write_text(with_domains(rx.load("resnext50_32x4d").to_arch()))
    space = rx.space(path)
    drawn = space.sample(5, seed=0)
    assert len(set(drawn)) == 5
    flops = {space.bind(candidate).cost().flops for candidate in drawn}
    assert len(flops) == 5
