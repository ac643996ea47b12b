"""The whole emitted file: helpers, a class for each template, the network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from resnext_dsl.emit.blocks.collect import Collector, as_list
from resnext_dsl.emit.blocks.levels import Levels
from resnext_dsl.emit.blocks.module_block import Built, MismatchError, ModuleBlock
from resnext_dsl.emit.patterns.wiring import unify_blocks
from resnext_dsl.emit.text.class_text import ClassText
from resnext_dsl.emit.text.helper_classes import CHAIN, SUPPORT
from resnext_dsl.emit.text.network_class import network_class
from resnext_dsl.emit.text.parameters import ConstructorParameter
from resnext_dsl.emit.text.python_names import camel_case, identifier, unused
from resnext_dsl.graph.ir import Graph
from resnext_dsl.semantics.init_schemes import SchemeRule


def emit(graph: Graph, init: Sequence[SchemeRule] = ()) -> str:
    """The PyTorch source of a network.

    Args:
        graph: A verified graph.
        init: Initialisation rules; torch initialises weights that follow none.

    Returns:
        The text of a Python module that imports only torch. It has a class for each template and one for the network.
        The network's class takes no arguments. The keys of its state_dict begin with the names of the nodes' modules.
    """
    file = _File(graph)
    for family in file.levels.families():
        file.add(family)
    return file.text(network_class(file.collector, file.classes, init, file.taken))


class _File:
    """The classes emitted so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.levels = Levels(graph)
        self.collector = Collector(self.levels)
        self.classes: dict[str, list[ConstructorParameter]] = {}
        self.taken = {"Chain", *SUPPORT}
        self.texts: list[list[str]] = []

    def add(self, family: list[str]) -> None:
        """Emit the levels of a family: as rows of modules if each level is such a row, else as classes."""
        blocks = {name: self.collector.block(name) for name in family}
        if self.graph.scopes[family[0]].kind != "template":
            rows = {name: self.collector.row(block) for name, block in blocks.items()}
            plain_rows = {name: row for name, row in rows.items() if row is not None}
            if len(plain_rows) == len(rows):
                self.collector.makes.update(plain_rows)
                return
        for group in self._groups(blocks):
            members = set(group)
            self._add_class(group, {name: block for name, block in blocks.items() if block in members})

    def _groups(self, blocks: dict[str, ModuleBlock]) -> list[list[ModuleBlock]]:
        """Group the different blocks by class; update `blocks` to the form that needs the fewest classes."""
        merged = {name: as_list(block) for name, block in blocks.items()}
        blocks.update(merged)
        distinct = list(dict.fromkeys(merged.values()))
        if _unites(distinct):
            return [distinct]
        apart = {name: as_list(self.collector.block(name, merged=False)) for name in blocks}
        distinct = list(dict.fromkeys(apart.values()))
        if _unites(distinct):
            blocks.update(apart)
            return [distinct]
        groups: list[list[ModuleBlock]] = []
        for block in dict.fromkeys(merged.values()):
            home = next((group for group in groups if _unites([*group, block])), None)
            if home is None:
                groups.append([block])
            else:
                home.append(block)
        return groups

    def _add_class(self, group: list[ModuleBlock], members: dict[str, ModuleBlock]) -> None:
        name = unused(self._class_name(next(iter(members))), self.taken)
        self.taken.add(name)
        weights = Counter(members.values())
        text = ClassText(unify_blocks(group, [weights[block] for block in group]), self.classes)
        self.texts.append(text.text(name))
        parameters = self.classes[name] = text.parameters.finished()
        places = {block: place for place, block in enumerate(group)}
        for level, block in members.items():
            values = tuple((parameter.name, parameter.values[places[block]]) for parameter in parameters)
            self.collector.makes[level] = Built(name, values)

    def _class_name(self, level: str) -> str:
        template = self.levels.template(level)
        label = camel_case(self.graph.scopes[template].label) if template else ""
        inner = level[len(template) + 1 :] if template else level
        return label + "".join(
            part.title() if part.isdigit() else camel_case(part) for part in inner.split(".") if part
        )

    def text(self, network: list[str]) -> str:
        """The text of the file, whose last class is the network's."""
        body = [text for lines in [*self.texts, network] for text in lines]
        joined = "\n".join(body)
        helpers = _helpers(joined)
        if re.search(r"\bChain\(", joined):
            helpers.insert(0, CHAIN)
        everything = "\n".join([*helpers, joined])
        heading = f'"""{identifier(self.graph.name)}, written by resnext-dsl."""'
        blocks = [helper.rstrip("\n") for helper in helpers]
        blocks += ["\n".join(lines) for lines in [*self.texts, network]]
        return "\n".join([heading, "", *_imports(everything)]) + "\n\n\n" + "\n\n\n".join(blocks) + "\n"


def _unites(blocks: list[ModuleBlock]) -> bool:
    try:
        unify_blocks(blocks, [1] * len(blocks))
    except MismatchError:
        return False
    return True


def _helpers(text: str) -> list[str]:
    """The helper classes that a text names, and the helpers that these name, in the order of the table."""
    named: dict[str, str] = {}
    for name, source in reversed(SUPPORT.items()):
        if re.search(rf"\b{name}\b", "\n".join([text, *named.values()])):
            named[name] = source
    return list(reversed(named.values()))


def _imports(text: str) -> list[str]:
    lines = ["from typing import NamedTuple", ""] if "(NamedTuple)" in text else []
    if re.search(r"\btorch\.", text):
        lines.append("import torch")
    if re.search(r"\bF\.", text):
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import Tensor, nn")
    if re.search(r"\bcheckpoint\(", text):
        lines.append("from torch.utils.checkpoint import checkpoint")
    return lines
