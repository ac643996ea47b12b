"""The local names of statements. They depend on the text only, so they are equal in every call of a template."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.syntax import nodes as s

# Attributes of torch.nn.Module, Sequential and ModuleList, and methods of compiled networks: a child of the same name
# would hide them.
TAKEN = frozenset(
    [
        "T",
        "T_destination",
        "add_module",
        "append",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extend",
        "extra_repr",
        "feature_info",
        "float",
        "forward",
        "forward_features",
        "forward_head",
        "forward_stages",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "init_weights",
        "insert",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "num_features",
        "parameters",
        "pop",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "reset_classifier",
        "set_extra_state",
        "set_grad_checkpointing",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
        "nn",
        "torch",
        "F",
        "self",
        "x",
    ]
)


@lru_cache(maxsize=4096)
def safe(name: str) -> str:
    """The name as an attribute of a module; keywords, private names and attributes of modules get a `_`.

    Different names stay different: `train` becomes `train_`, and `train_` becomes `train__`.
    """
    shortest = len(name.rstrip("_"))
    words = [name[:length] for length in range(shortest, len(name) + 1)]
    taken = any(word in TAKEN or keyword.iskeyword(word) or keyword.issoftkeyword(word) for word in words)
    return f"{name}_" if taken or name.startswith("_") else name


def single_call(block: s.Block) -> s.Apply | None:
    """The one operator or template call that a block consists of, apart from constants; None if it has more."""
    statements = [statement for statement in block.statements if not isinstance(statement, s.Let)]
    only = statements[0] if len(statements) == 1 else None
    return only if isinstance(only, s.Apply) else None


def aliases(block: s.Block) -> list[str]:
    """The names that `as` gives to values in a body, at any depth."""
    names: list[str] = []
    pending = [block]
    while pending:
        for statement in pending.pop().statements:
            if not isinstance(statement, s.Let | s.Shared):
                names += [alias.text for alias in statement.aliases]
            pending += _blocks(statement)
    return names


def shared_instances(entries: Iterable[s.Entry]) -> list[str]:
    """The names of the shared instances that stand between the parts of a network."""
    return [entry.name.text for entry in entries if isinstance(entry, s.Shared)]


def inner_constants(entries: tuple[s.Entry, ...]) -> list[s.Let]:
    """The constants that the blocks of a network declare, at any depth."""
    constants: list[s.Let] = []
    pending = [
        entry.body for entry in entries if isinstance(entry, s.PartDeclaration | s.OutputDeclaration) and entry.body
    ]
    for entry in entries:
        if isinstance(entry, s.Statement):
            pending += _blocks(entry)
    while pending:
        for statement in pending.pop(0).statements:
            if isinstance(statement, s.Let):
                constants.append(statement)
            pending += _blocks(statement)
    return constants


def _blocks(statement: s.Statement) -> list[s.Block]:
    if isinstance(statement, s.Repeat | s.ForEach):
        return [statement.body]
    if isinstance(statement, s.If):
        return [*(block for _, block in statement.branches), *([statement.otherwise] if statement.otherwise else [])]
    if isinstance(statement, s.Split):
        return [*([statement.body] if statement.body else []), *path_blocks(statement.paths)]
    if isinstance(statement, s.Residual):
        return [statement.body, *([statement.shortcut] if statement.shortcut else [])]
    return []


def path_blocks(paths: tuple[s.ListedPath, ...]) -> list[s.Block]:
    """The bodies of the paths that a split lists, also of those in loops and under conditions."""
    blocks: list[s.Block] = []
    for path in paths:
        if isinstance(path, s.Block):
            blocks.append(path)
        elif isinstance(path, s.PathIf):
            for _, branch in path.branches:
                blocks += path_blocks(branch)
            blocks += path_blocks(path.otherwise or ())
        else:
            blocks += path_blocks(path.paths)
    return blocks


def body_of(span: Span, entries: tuple[s.Entry, ...]) -> s.Block:
    """The statements between the parts of a network, as one body."""
    return s.Block(span, tuple(entry for entry in entries if isinstance(entry, s.Statement)))


def written_names(entries: tuple[s.Entry, ...], input_name: s.Name | None) -> tuple[str, ...]:
    """The outermost names in the graph that the text states: of the input, of parts and of outputs."""
    names = [input_name] if input_name is not None else []
    names += [entry.name for entry in entries if isinstance(entry, s.PartDeclaration | s.OutputDeclaration)]
    return tuple(dict.fromkeys(safe(name.text) for name in names))


def statement_names(span: Span, entries: tuple[s.Entry, ...], input_name: s.Name | None) -> Names:
    """The names of the statements between the parts of a network; none of them is a written name."""
    return Names(body_of(span, entries), written_names(entries, input_name))


def top_names(span: Span, entries: tuple[s.Entry, ...], input_name: s.Name | None) -> frozenset[str]:
    """The outermost names that parts, outputs and statements of a network can have in its graph."""
    parts = {safe(entry.name.text) for entry in entries if isinstance(entry, s.PartDeclaration | s.OutputDeclaration)}
    return statement_names(span, entries, input_name).all() | parts


class Names:
    """The local names of the statements in one body, also inside its residuals and conditions.

    `of(statement)` is the name of an operator, call or loop. `of(statement, role)` names a part of a split or residual;
    the roles are "paths", "merge", "add" and "shortcut". A name that occurs more than once, or that is reserved, is
    numbered from 1. All names in a body are different, and none of them is reserved. A shared instance keeps its name,
    so that its uses are numbered: the module `cell` has the uses `cell1`, `cell2`.
    """

    def __init__(self, block: s.Block, reserved: tuple[str, ...] = ()) -> None:
        self._bases: list[tuple[tuple[int, str], str]] = []
        self._shared: list[tuple[tuple[int, str], str]] = []
        self._walk(block)
        self._names = self._number(reserved)
        self._block = block  # keeps the statements alive, because their identity is the key

    def of(self, statement: s.Statement, role: str = "") -> str:
        """The local name of a statement, or of a part of it."""
        return self._names[id(statement), role]

    def all(self) -> frozenset[str]:
        """The names of all statements and of their parts."""
        return frozenset(self._names.values())

    def _note(self, statement: s.Statement, base: str, role: str = "") -> None:
        self._bases.append(((id(statement), role), safe(base)))

    def _walk(self, block: s.Block) -> None:
        for statement in block.statements:
            if isinstance(statement, s.Apply):
                self._note(statement, statement.callee.text)
            elif isinstance(statement, s.Shared):
                self._shared.append(((id(statement), ""), safe(statement.name.text)))
            elif isinstance(statement, s.Repeat | s.ForEach):
                call = single_call(statement.body)
                self._note(statement, call.callee.text if call is not None else "repeat")
            elif isinstance(statement, s.If):
                for _, branch in statement.branches:
                    self._walk(branch)
                if statement.otherwise is not None:
                    self._walk(statement.otherwise)
            elif isinstance(statement, s.Split):
                self._note(statement, "paths", "paths")
                if statement.merge.callee.text != s.LIST:
                    self._note(statement, statement.merge.callee.text, "merge")
            elif isinstance(statement, s.Residual):
                self._walk(statement.body)
                self._note(statement, "shortcut", "shortcut")
                self._note(statement, "add", "add")

    def _number(self, reserved: tuple[str, ...]) -> dict[tuple[int, str], str]:
        names: dict[tuple[int, str], str] = {}
        if self._shared:
            self._numbered(self._shared, reserved, names)
            reserved = (*reserved, *names.values())
        self._numbered(self._bases, reserved, names)
        return names

    def _numbered(
        self, bases: list[tuple[tuple[int, str], str]], reserved: tuple[str, ...], names: dict[tuple[int, str], str]
    ) -> None:
        counts = Counter(base for _, base in bases)
        taken = {base for base in counts if counts[base] == 1} | set(reserved)
        seen: Counter[str] = Counter()
        for key, base in bases:
            if counts[base] == 1 and base not in reserved:
                names[key] = base
                continue
            seen[base] += 1
            while f"{base}{seen[base]}" in taken:
                seen[base] += 1
            names[key] = f"{base}{seen[base]}"
            taken.add(names[key])
