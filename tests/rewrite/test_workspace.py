"""The graph that rules change: which nodes go with an output, who reads a value alone, and when a map has a way back."""

from __future__ import annotations

import resnext_dsl as rx
from resnext_dsl.rewrite.workspace import Workspace

TEXT = """network n {
    input image: 8x4x4
    conv(8, 3x3) as a
    output side when training from a { conv(4, 1x1); relu }
    relu
    conv(8, 1x1)
}
"""


def work() -> tuple[Workspace, dict[str, int]]:
    """A workspace, and its nodes by name."""
    found = Workspace(rx.loads(TEXT).ir)
    return found, {node.name: index for index, node in enumerate(found.nodes)}


def test_with_an_output_go_the_nodes_that_only_it_has_read() -> None:
    found, places = work()
    assert found.outputs(training_only=True) == {"side"}
    assert found.outputs(training_only=False) == {"main"}
    found.drop_outputs({"side"})
    assert {name for name, place in places.items() if not found.alive[place]} == {"side.conv", "side.relu"}
    assert found.users[places["conv1"]] == [places["relu"]]
    assert not found.pinned(places["side.relu"])


def test_a_node_that_is_read_or_is_a_result_is_not_dropped() -> None:
    found, places = work()
    for name in ("conv1", "conv2", "side.relu", "image"):
        found.prune(places[name])
    assert all(found.alive)


def test_only_a_value_with_one_reader_that_is_no_result_has_a_reader() -> None:
    found, places = work()
    readers = {name: found.reader(place) for name, place in places.items()}
    assert readers == {
        "image": places["conv1"],
        "conv1": None,  # two nodes read it
        "side.conv": places["side.relu"],
        "side.relu": None,  # a result
        "relu": places["conv2"],
        "conv2": None,
    }


def test_a_map_that_drops_tensors_has_no_way_back() -> None:
    assert rx.loads(TEXT).rewrite(mode="train").weights.invertible
    weights = rx.loads(TEXT).rewrite(mode="inference").weights
    assert not weights.steps
    assert not weights.invertible


def test_what_is_undone_reads_nothing_any_more() -> None:
    found, places = work()
    before = [[*readers] for readers in found.users], [*found.alive]
    mark = found.mark()
    relu = found.nodes[places["relu"]]
    found.make("relu", relu.attributes, [places["conv1"]], places["relu"], places["relu"])
    assert len(found.users[places["conv1"]]) == 3
    found.undo(mark)
    assert (found.users, found.alive) == before
    assert len(found.nodes) == len(places)


def test_each_output_of_training_is_reported_as_one_place() -> None:
    fired = rx.loads(TEXT).rewrite(mode="inference").report.fired
    removed = [(each.place, each.number) for each in fired if each.rules == ("training_output_removed",)]
    assert removed == [("side", 1)]
