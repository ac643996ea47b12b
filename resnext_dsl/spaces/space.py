"""The space of networks that a file declares: its parameters are the dimensions, a candidate gives each a value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from resnext_dsl.diagnostics import Diagnostic, did_you_mean, error
from resnext_dsl.files import Module
from resnext_dsl.network import Network, expanded, parsed, source_of
from resnext_dsl.options import DEFAULTS, Options
from resnext_dsl.overrides import override_source
from resnext_dsl.resolve import resolve
from resnext_dsl.source import Source
from resnext_dsl.spaces.price import CostColumns, price


class Space:
    """A file whose parameters are open.

    Attributes:
        network: The network of the parameters' own values.
    """

    def __init__(
        self,
        module: Module,
        resolved: Sequence[Diagnostic],
        network: Network,
        fixed: Mapping[str, Any],
        options: Options,
    ) -> None:
        self._module = module
        self._resolved = resolved
        self.network = network
        self._fixed = dict(fixed)
        self._options = options

    def __repr__(self) -> str:
        return f"<Space of {self.network.name}: {', '.join(self.network.parameters)}>"

    def cost(self, columns: Mapping[str, Sequence[Any] | Any]) -> CostColumns:
        """What each of many candidates costs, exact, in fvcore's convention; no network is built.

        Args:
            columns: For each parameter that varies, its value for every candidate: a numpy array, or a list. A single
                value stands for all candidates, as does a list for a parameter that is a list as deep. Text is read as
                an expression, as by `load`, but not for numbers. Other parameters keep their values.

        Returns:
            int64 arrays `params`, `flops`, `macs`, `activations` and the bool array `valid`, in the candidates' order.
            A candidate is valid where `load` would give its network: shapes fit, and every `require` holds; the
            figures of others are 0. Numbers beyond 64 bits are not wrapped: the candidate is `overflowed`, and not
            valid either.

        Raises:
            ArchError: For an unknown parameter, or a value of the wrong type.
            ValueError: For columns of different lengths.
        """
        for name, values in columns.items():
            self.known(name, values)
        return price(self._module, self.network, self._fixed, columns, self.bind, self._options)

    def bind(self, values: Mapping[str, Any]) -> Network:
        """The network of some values; other parameters keep theirs. The file is not read again.

        Raises:
            ArchError: Where the values give no network.
        """
        try:
            return expanded(self._module, self._resolved, self._options, {**self._fixed, **values})
        except RecursionError:
            raise error("E403", "the spec is nested too deep") from None

    def known(self, name: str, values: Any) -> None:
        """Raises ArchError E201, with the nearest name, where there is no parameter of this name."""
        known = self.network.parameters
        if name not in known:
            hint = did_you_mean(name, known) or f"parameters: {', '.join(known)}"
            message = f"network `{self.network.name}` has no parameter `{name}`"
            raise error("E201", message, override_source(name, values), hint=hint)


def space(
    spec: str | os.PathLike[str],
    /,
    *,
    root: str | os.PathLike[str] | None = None,
    options: Options = DEFAULTS,
    **fixed: Any,
) -> Space:
    """The space of a file, or of a shipped network by its name.

    Args:
        spec: A path, or the name of a shipped network.
        root: The folder that imports stay under; that of the file by default.
        options: Bounds on the spec.
        **fixed: Values for parameters that do not vary.

    Raises:
        ArchError: With everything that is wrong with the spec.
    """
    return space_of(source_of(spec, options), root, options, fixed)


def space_of(source: Source, root: str | os.PathLike[str] | None, options: Options, fixed: Mapping[str, Any]) -> Space:
    """The space of a text, whose own network is bound, so that every mistake is found."""
    module = parsed(source, root, options)
    resolved = resolve(module)
    return Space(module, resolved, expanded(module, resolved, options, fixed), fixed, options)
