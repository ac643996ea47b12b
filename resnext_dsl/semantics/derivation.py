"""Networks that are derived from others: the chain of bases, the names that each level sees, the values it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnext_dsl.foundation.diagnostics import ArchError, did_you_mean, error
from resnext_dsl.semantics.scope import NetworkValue, Scopes
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
        hint = did_you_mean(derived.base.text, known) or 'import it: `from "FILE.arch" import NAME`'
        raise error("E101", f"unknown network `{derived.base.text}`", derived.base.span, hint=hint) from None
    if value is UNKNOWN:
        raise ArchError(scopes.diagnostics)
    if not isinstance(value, NetworkValue):
        raise error("E204", f"`{derived.base.text}` is not a network", derived.base.span)
    return value


def level_environment(env: Environment, level: NetworkValue) -> Environment:
    """The names that a derived network's own entries see: the parameters, and those of its file."""
    return Environment(Environment(level.environment, dict(env.names)))


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
