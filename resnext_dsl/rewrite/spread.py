"""The pass that makes paths of a grouped convolution, the inverse of `join`: forms (b) and (a).

A grouped convolution of G groups equals G convolutions, each on its slice of the channels. The slices move up through
channel-wise operators to the convolution that computes the channels, whose weight is cut into rows. The concatenation
moves down. In form (a) it moves through one more convolution, whose weight is cut into columns of a sum.
"""

from __future__ import annotations

from typing import Any, Literal

from resnext_dsl.expansion.graph_builder import join
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.algebra import Tensor
from resnext_dsl.rewrite.join import Blocked
from resnext_dsl.rewrite.rewrite_report import Fired, Left, RewriteReport
from resnext_dsl.rewrite.workspace import Workspace

Cut = Literal["rows", "groups", "columns", "channels"]


class ChainLink(NamedTuple):
    """An operator of the chain that becomes paths: its node, and the axis along which its tensors are cut."""

    node: int
    cut: Cut


def spread_paths(work: Workspace, report: RewriteReport, summed: bool, limit: int) -> None:
    """Make paths of every grouped convolution.

    Args:
        work: The graph.
        report: Takes an entry for each convolution that was rewritten, or that stayed.
        summed: Whether paths are summed if possible (form (a)) or always concatenated (form (b)).
        limit: The most nodes that the graph may have; a convolution stays if the graph would have more.
    """
    for index in list(work.live()):
        if work.alive[index] and _groups(work, index) > 1:
            try:
                _spread(work, report, index, summed, limit)
            except Blocked as blocked:
                report.leave(Left.of(work, index, blocked.reason, blocked.node))


def _groups(work: Workspace, index: int) -> int:
    node = work.nodes[index]
    return node.attributes.groups if node.operator == "conv" else 1  # type: ignore[union-attr]


def _spread(work: Workspace, report: RewriteReport, index: int, summed: bool, limit: int) -> None:
    groups = _groups(work, index)
    if groups == work.shapes(index)[0][0]:
        raise Blocked("the paths of a depthwise convolution would have one channel each", index)
    chain, down = _upwards(work, index, groups), _downwards(work, index, groups)
    chain = [*chain, ChainLink(index, "groups"), *down]
    columns = _columns(work, chain[-1].node) if summed else None
    if columns is not None:
        chain.append(ChainLink(columns, "columns"))
    if len(work.nodes) + groups * len(chain) > limit:
        raise Blocked(f"{groups} paths would make more than {limit} operators", index)
    rules = ("groups_as_paths", "sum_of_paths") if columns is not None else ("groups_as_paths",)
    fired = Fired.of(work, index, rules, groups)
    left = Left.of(work, index, _why_not_summed(work, chain[-1].node), index)
    result = _paths(work, chain, groups, index)
    merge = "add" if columns is not None else "concat"
    merged = work.make(merge, OPERATORS[merge].attributes.construct({}), result, index, index)
    work.nodes[merged] = work.nodes[merged]._replace(name=merge)
    work.replace(chain[-1].node, merged)
    report.fire(fired)
    if summed and columns is None:
        report.leave(left)


# slice(f(x), k)  ->  f(slice(x, k));   slice(conv(x; W), k)  ->  conv(x; rows k of W)
# where nothing else reads f(x) or conv(x), and neither is the result of a part
def _upwards(work: Workspace, index: int, groups: int) -> list[ChainLink]:
    """The operators above a grouped convolution that belong to its paths: none, or all from a convolution on."""
    links: list[ChainLink] = []
    at = work.nodes[index].inputs[0]
    while work.reader(at) is not None and work.nodes[at].operator != "input":
        node = work.nodes[at]
        if node.operator == "conv":
            node_groups = _groups(work, at)
            if node_groups == 1:
                return [ChainLink(at, "rows"), *links]
            if node_groups % groups or node_groups == work.shapes(at)[0][0]:
                break
            links.insert(0, ChainLink(at, "groups"))
        elif _is_channelwise(work, at, groups):
            links.insert(0, ChainLink(at, "channels"))
        else:
            break
        at = node.inputs[0]
    while links and links[0].cut == "channels":
        del links[0]  # operators before the first convolution of the paths stay whole
    return links


# f(concat(x1, x2))  ->  concat(f(x1), f(x2))
# where nothing else reads the concatenation
def _downwards(work: Workspace, index: int, groups: int) -> list[ChainLink]:
    """The operators below a grouped convolution that belong to its paths."""
    links: list[ChainLink] = []
    at = work.reader(index)
    while at is not None:
        node_groups = _groups(work, at)
        if node_groups > 1 and node_groups % groups == 0 and node_groups != work.shapes(at)[0][0]:
            links.append(ChainLink(at, "groups"))
        elif _is_channelwise(work, at, groups):
            links.append(ChainLink(at, "channels"))
        else:
            break
        at = work.reader(at)
    return links


# conv(concat(x1, x2); W)  ->  add(conv(x1; columns 1 of W), conv(x2; columns 2 of W))
# where groups is 1, there is no bias, and the weights are not standardized
def _columns(work: Workspace, last: int) -> int | None:
    """The convolution that reads the paths, if it can be cut into the terms of a sum; else None."""
    reader = work.reader(last)
    if reader is None or work.nodes[reader].operator != "conv" or _groups(work, reader) > 1:
        return None
    attributes: Any = work.nodes[reader].attributes
    return None if attributes.bias or attributes.standardize else reader


def _why_not_summed(work: Workspace, last: int) -> str:
    reader = work.reader(last)
    if reader is None:
        return "several operators read the paths' values, so they are concatenated, not summed"
    node = work.nodes[reader]
    if node.operator == "conv" and _groups(work, reader) == 1:
        if not node.attributes.bias:  # type: ignore[union-attr]
            return "the convolution after the paths has standardized weights, so they are concatenated, not summed"
        return "the convolution after the paths has a bias, so they are concatenated, not summed"
    return f"`{node.operator}` reads the paths' values, so they are concatenated, not summed"


def _is_channelwise(work: Workspace, index: int, count: int) -> bool:
    node = work.nodes[index]
    row = OPERATORS[node.operator]
    if row.takes_values or row.algebra.weight is not None or len(node.shape) == 1:
        return False
    channels = node.shape[0]
    if row.algebra.joined([node.attributes] * count, [channels // count] * count)[0] is None:
        return False
    return row.algebra.sliced(node.attributes, channels, count)[0] is not None


def _paths(work: Workspace, chain: list[ChainLink], groups: int, index: int) -> list[int]:
    """Make the paths, each a copy of the chain with its part of the tensors; return their last nodes."""
    scope = _scope(work, index)
    results, names = [], _names(work, chain)
    paths: list[list[int]] = []
    for path in range(groups):
        inside = f"{scope}.{path}"
        work.put_scope(inside, "path", work.nodes[index].span)
        at = _start(work, chain[0], groups, path, index, inside)
        nodes = []
        for link, name in zip(chain, names, strict=True):
            node = work.nodes[link.node]
            at = work.make(node.operator, _cut_attributes(work, link, groups), [at], link.node, index, inside)
            work.nodes[at] = work.nodes[at]._replace(name=name)
            nodes.append(at)
        paths.append(nodes)
        results.append(at)
    for place, link in enumerate(chain):
        for tensor in work.tensors(link.node):
            _cut_tensor(work, link, tensor, [nodes[place] for nodes in paths])
    return results


def _scope(work: Workspace, index: int) -> str:
    """Add a scope for the paths to the scope of the convolution."""
    scope, number = join(work.nodes[index].scope, "paths"), 1
    order = list(work.live())
    taken = {work.nodes[each].name for each in order} | work.held(order)
    while scope in taken:
        number += 1
        scope = join(work.nodes[index].scope, f"paths{number}")
    work.put_scope(scope, "paths", work.nodes[index].span)
    return scope


def _names(work: Workspace, chain: list[ChainLink]) -> list[str]:
    """Local names of the chain's operators, with a number if two operators of different scopes have the same."""
    names: list[str] = []
    for link in chain:
        name = base = work.nodes[link.node].name.rpartition(".")[2]
        number = 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names


def _start(work: Workspace, first: ChainLink, groups: int, path: int, index: int, scope: str) -> int:
    """The value that a path reads: the whole value, or a slice of its channels."""
    source = work.nodes[first.node].inputs[0]
    if first.cut == "rows":
        return source
    width = work.nodes[source].shape[0] // groups
    attributes = OPERATORS["slice"].attributes.construct({"start": path * width, "stop": (path + 1) * width})
    part = work.make("slice", attributes, [source], index, index, scope)
    work.nodes[part] = work.nodes[part]._replace(name="slice")
    return part


def _cut_attributes(work: Workspace, link: ChainLink, groups: int) -> Any:
    node = work.nodes[link.node]
    attributes: Any = node.attributes
    if link.cut == "rows":
        return attributes.replaced(channels=attributes.channels // groups)
    if link.cut == "groups":
        return attributes.replaced(channels=attributes.channels // groups, groups=attributes.groups // groups)
    if link.cut == "columns":
        return attributes
    return OPERATORS[node.operator].algebra.sliced(attributes, node.shape[0], groups)[0]


def _cut_tensor(work: Workspace, link: ChainLink, tensor: Tensor, targets: list[int]) -> None:
    keys = [(target, tensor.field) for target in targets]
    if not tensor.shape:
        work.step("copy", [(link.node, tensor.field)], keys, len(keys))
        return
    axis = 1 if link.cut == "columns" else 0
    size = tensor.shape[axis] // len(targets)
    work.step("cut", [(link.node, tensor.field)], keys, axis, (size,) * len(targets))
