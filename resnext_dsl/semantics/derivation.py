"""Networks that are derived from others: the chain of bases, the names that each level sees, the values it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span, did_you_mean, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.semantics.scope import NetworkValue, Scopes
from resnext_dsl.semantics.spec_files import shipped_names
from resnext_dsl.semantics.values import UNKNOWN, Environment
from resnext_dsl.syntax import nodes as s

DerivedValues = dict[str, tuple[s.CallArgument, Environment]]
"""Parameter -> the argument that gives its value, and the names that this argument sees."""


def bases_of(network: NetworkValue, scopes: Scopes) -> list[NetworkValue]:
    """The network and its bases in order; the last one is written in full.

    Raises:
        ArchError: If a base is unknown or no network, or if the chain is circular or longer than `max_calls`.
    """
    chain = [network]
    while isinstance(chain[-1].network, s.Derived):
        derived, env = chain[-1].network, chain[-1].environment
        base = _base(derived, env, scopes)
        if any(base.network is level.network for level in chain):
            raise error("E104", f"network `{derived.name.text}` is derived from itself", derived.base.span)
        if len(chain) >= scopes.evaluator.options.max_calls:
            message = f"the chain of derived networks is longer than {scopes.evaluator.options.max_calls}"
            raise error("E403", message, derived.base.span, hint="the option `max_calls` sets the limit")
        chain.append(base)
    return chain


def _base(derived: s.Derived, env: Environment, scopes: Scopes) -> NetworkValue:
    try:
        value = env.find(derived.base.text)
    except KeyError:
        known = [name for name in env.all_names() if isinstance(env.find(name), NetworkValue)]
        name = derived.base.text
        shipped = f"import it: `from networks.{name} import {name}`" if name in shipped_names() else ""
        hint = shipped or did_you_mean(name, known) or 'import it: `from "FILE.arch" import NAME`'
        raise error("E101", f"unknown network `{derived.base.text}`", derived.base.span, hint=hint) from None
    if value is UNKNOWN:
        raise ArchError(scopes.diagnostics)
    if not isinstance(value, NetworkValue):
        raise error("E204", f"`{derived.base.text}` is not a network", derived.base.span)
    return value


class Changed(NamedTuple):
    """The entries of a network that is derived from another.

    Attributes:
        entries: The entries of the base. A changed entry stands in the place of the entry that it replaces.
        owners: The derived network that has a changed entry, by the identity of the entry.
    """

    entries: tuple[s.Entry, ...]
    owners: dict[int, NetworkValue]


CHANGEABLE = (s.Template, s.Fn, s.Let, s.Input, s.PartDeclaration, s.OutputDeclaration)
"""The entries of a base that a derived network can replace, each by an entry of the same kind and name."""


def changed_entries(levels: Sequence[NetworkValue], base: s.NetworkDeclaration) -> tuple[Changed, list[Diagnostic]]:
    """The entries of a derived network, and the mistakes among its changes.

    Args:
        levels: The derived networks, the outermost first.
        base: The network that they are derived from.
    """
    entries = list(base.entries)
    owners: dict[int, NetworkValue] = {}
    problems: list[Diagnostic] = []
    for level in reversed(levels):
        places: dict[tuple[str, str], Span] = {}
        for entry in level.network.entries:
            if isinstance(entry, s.Budget | s.Require | s.Default | s.Init):
                continue
            key = _key(entry)
            place = next((i for i, other in enumerate(entries) if key is not None and _key(other) == key), None)
            if key is not None and key in places:
                note = Note("the first one is here", places[key])
                problems.append(Diagnostic("E102", f"`{key[1]}` is replaced twice", entry.span, notes=(note,)))
            elif place is not None and key is not None:
                entries[place], owners[id(entry)] = entry, level
                places[key] = entry.span
            else:
                problems.append(_not_replaced(level.network, entry, entries))
    return Changed(tuple(entries), owners), problems


def _key(entry: s.Entry) -> tuple[str, str] | None:
    """The kind and name by which an entry replaces another."""
    if not isinstance(entry, CHANGEABLE):
        return None
    kind = entry.kind if isinstance(entry, s.PartDeclaration) else _KINDS[type(entry)]
    return kind, entry.name.text


_KINDS: dict[type, str] = {
    s.Template: "template", s.Fn: "function", s.Let: "constant", s.Input: "input", s.OutputDeclaration: "output"
}  # fmt: skip


def _not_replaced(network: s.NetworkDeclaration | s.Derived, entry: s.Entry, entries: Sequence[s.Entry]) -> Diagnostic:
    """The mistake of an entry that replaces nothing."""
    name = network.name.text
    base = network.base.text if isinstance(network, s.Derived) else name
    key = _key(entry)
    if key is not None:
        kind, text = key
        known = [other[1] for other in map(_key, entries) if other is not None and other[0] == kind]
        message = f"the derived network `{name}` replaces the {kind} `{text}`, which `{base}` does not have"
        if kind in ("stem", "head"):
            message = f"the derived network `{name}` replaces the {kind}, which `{base}` does not have"
        listed = ", ".join(f"`{one}`" for one in known)
        hint = did_you_mean(text, known) or (f"it has: {listed}" if known else f"it has no {kind}")
        return Diagnostic("E101", message, entry.span, hint=hint)
    hint = "put it into a part or a template that replaces one of the base; or write a network in full"
    if isinstance(entry, s.Param):
        hint = f"give the value of a parameter to the base: `{base}({entry.name.text}=...)`"
    message = f"the derived network `{name}` can replace parts and definitions of its base; this entry replaces none"
    return Diagnostic("E105", message, entry.span, hint=hint)


def level_environment(env: Environment, level: NetworkValue) -> Environment:
    """The names that a derived network's own entries see: the parameters, and those of its file."""
    return Environment(Environment(level.environment, env.names))


def derived_values(levels: Sequence[NetworkValue]) -> DerivedValues:
    """The parameter values that derived networks give; the outermost level, which stands first, wins."""
    return {
        argument.name.text: (argument, level.environment)
        for level in reversed(levels)
        for argument in _arguments(level)
        if argument.name is not None
    }


def unnamed_values(levels: Sequence[NetworkValue]) -> Iterator[s.CallArgument]:
    """The arguments of derived networks that have no name, from the innermost level out."""
    for level in reversed(levels):
        yield from (argument for argument in _arguments(level) if argument.name is None)


def _arguments(level: NetworkValue) -> tuple[s.CallArgument, ...]:
    assert isinstance(level.network, s.Derived)
    return level.network.arguments
