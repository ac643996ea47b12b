"""Names of nodes from the paths of modules: `layer1.0.conv1` for a layer, `layer1.0.add` for a call in a block."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from resnext_dsl.importing.lowering.state import NodeDraft


def names_of(drafts: Sequence[NodeDraft]) -> tuple[list[str], dict[str, str]]:
    """The names of the nodes, and the path of the module that each of their scopes is.

    A module that makes one call is a node, and its path is the name. A module that makes several calls is a scope, and
    the names of its nodes are those of their operators. Equal calls of one path are uses of one module.
    """
    paths = [cleaned(draft.path) for draft in drafts]
    members = defaultdict(list)
    for index, path in enumerate(paths):
        if index:
            members[path].append(index)
    parents = {path[:end] for path in members for end in range(len(path)) if path[end : end + 1] == "."}
    names = [""] * len(drafts)
    names[0] = "image"
    taken = {"image", *parents, *(path for path, nodes in members.items() if not _is_layer(drafts, nodes))}
    for path, nodes in members.items():
        if path and path not in parents and _is_layer(drafts, nodes):
            for index in nodes:
                names[index] = _free(path, taken)
    for index, path in enumerate(paths):
        if not names[index]:
            names[index] = _free(f"{path}.{drafts[index].operator}" if path else drafts[index].operator, taken)
    return _named(names, drafts)


def _named(names: Sequence[str], drafts: Sequence[NodeDraft]) -> tuple[list[str], dict[str, str]]:
    """The names with words for numbers, where a scope has other children than numbers; the network has.

    features.0 -> features.conv0 and block.1.conv -> block.block1.conv, where `features` and `block` are such scopes
    """
    children = defaultdict(set)
    for name in names:
        parts = name.split(".")
        for end in range(len(parts)):
            children[".".join(parts[:end])].add(parts[end])
    mixed = {scope for scope, parts in children.items() if not all(part.isdigit() for part in parts)} | {""}
    result, scopes = [], {}
    for name, draft in zip(names, drafts, strict=True):
        parts = name.split(".")
        words = [
            f"{'block' if end < len(parts) - 1 else draft.operator}{part}"
            if part.isdigit() and ".".join(parts[:end]) in mixed
            else part
            for end, part in enumerate(parts)
        ]
        result.append(".".join(words))
        scopes.update({".".join(words[:end]): ".".join(parts[:end]) for end in range(1, len(parts))})
    return result, scopes


def _is_layer(drafts: Sequence[NodeDraft], nodes: Sequence[int]) -> bool:
    """Whether the nodes of a path are the uses of one module that makes one call."""
    first = drafts[nodes[0]]
    return all(
        (drafts[index].operator, drafts[index].attributes, drafts[index].tensors)
        == (first.operator, first.attributes, first.tensors)
        for index in nodes
    )


def cleaned(path: str) -> str:
    """The path with names of the language."""
    return re.sub(r"[^\w.]", "_", path)


def _free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that makes it free."""
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
