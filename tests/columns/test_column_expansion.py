"""Every construct of the language costs in columns what the network of each candidate costs by itself."""

from __future__ import annotations

import pytest
from space_examples import ALL, Example
from space_oracle import METHODS, check, space_from

EXAMPLES = list(ALL.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=ALL)
def test_every_construct_costs_what_each_network_does(example: Example) -> None:
    found = check(space_from(example.text, example.options), example.columns, exact=example.closed)
    if not example.closed:
        assert found.method == METHODS[2]
        assert found.reason
