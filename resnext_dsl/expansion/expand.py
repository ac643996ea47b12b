"""Expands a bound network into its graph within the bounds of the options; one error reports all mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from resnext_dsl.expansion.statements import Expander
from resnext_dsl.expansion.template_calls import ResolutionCache
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, ShapeError
from resnext_dsl.foundation.options import Options
from resnext_dsl.graph.ir import Graph
from resnext_dsl.semantics.bound_network import BoundNetwork
from resnext_dsl.semantics.evaluate import Interpreter


def graph_of(
    bound: BoundNetwork,
    evaluator: Interpreter,
    cache: ResolutionCache | None = None,
    check: bool = True,
    before: Sequence[Diagnostic] = (),
) -> tuple[Graph, list[Diagnostic]]:
    """The graph of a network, and the diagnostics of the expansion.

    Args:
        bound: The network.
        evaluator: Computes its expressions.
        cache: The resolution cache of the spec, shared by its bindings.
        check: Whether the size of a large network is estimated before expansion goes on.
        before: The diagnostics of earlier stages, for the report of an error that stops the expansion.
    """
    options = evaluator.options

    def check_size_of_large() -> None:
        if check:
            from resnext_dsl.expansion.size_estimate import check_size  # most networks are small and do not need it

            check_size(bound, options)

    expander = Expander(bound, evaluator, check_size_of_large, cache)
    try:
        return expander.expand(), expander.diagnostics
    except ArchError as problem:
        raise report_of([*before, *expander.diagnostics, *problem.diagnostics], options) from None


def errors_of(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics that are errors."""
    return [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]


def report_of(diagnostics: list[Diagnostic], options: Options) -> ArchError:
    """One error with every distinct mistake, in the order of the text.

    Of two diagnostics for one mistake, the first has the message: name resolution knows more of the text than
    expansion. The longer trail is kept.
    """
    unique: dict[tuple[str, str, int], Diagnostic] = {}
    for diagnostic in diagnostics:
        span = diagnostic.span
        key = (diagnostic.code, span.source.name, span.start) if span else (diagnostic.code, diagnostic.message, -1)
        known = unique.get(key)
        if known is None:
            unique[key] = diagnostic
        elif len(diagnostic.trail) > len(known.trail):
            unique[key] = known._replace(trail=diagnostic.trail)
    ordered = sorted(unique.values(), key=lambda d: (d.span.source.name, d.span.start) if d.span else ("", -1))
    errors = [diagnostic for diagnostic in ordered if diagnostic.severity == "error"]
    kind = ShapeError if all(d.code.startswith("E30") for d in errors) else ArchError
    return kind(errors[: options.max_errors])
