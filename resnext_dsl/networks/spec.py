"""A spec: a file with its imports, names resolved. It gives the network of any parameter values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnext_dsl.budgets.limits import bind_limits, misplaced
from resnext_dsl.expansion.expand import errors_of, graph_of, report_of
from resnext_dsl.expansion.template_calls import ResolutionCache
from resnext_dsl.foundation.diagnostics import ArchError, error, internal_error
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.graph.invariants import check_invariants
from resnext_dsl.networks.network import Network
from resnext_dsl.semantics.bind import Binder, unmet_requirements
from resnext_dsl.semantics.bound_network import Parameter
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.init_targets import settle
from resnext_dsl.semantics.resolve import resolve
from resnext_dsl.semantics.scope import Scopes
from resnext_dsl.semantics.spec_files import SpecFile

if TYPE_CHECKING:
    from resnext_dsl.budgets.usage import Usage
    from resnext_dsl.columns.price import CostColumns
    from resnext_dsl.costs.closed_form import Cost
    from resnext_dsl.networks.advice import Advisor


class Spec:
    """A spec file with the files that it imports, names resolved.

    Attributes:
        spec_file: The spec file and its imports, as syntax trees.
        options: Bounds on the size of the spec.
        diagnostics: Errors and warnings of name resolution.
    """

    def __init__(self, spec_file: SpecFile, options: Options = DEFAULTS) -> None:
        """Resolves the names of a file. Errors of resolution are raised by `network`, with those of later stages.

        Args:
            spec_file: The spec file and its imports, as syntax trees.
            options: Bounds on the size of the spec.
        """
        self.spec_file = spec_file
        self.options = options
        self.diagnostics = tuple(resolve(spec_file))
        self._cache = ResolutionCache()

    def network(self, overrides: Mapping[str, Any] | None = None) -> Network:
        """Binds the parameters, expands the templates and verifies the graph.

        The file is not parsed or resolved again, so a call for other values costs less than loading the file.

        Args:
            overrides: Values for parameters; text is read as an expression of the language. Parameters without a value
                keep the one in the file.

        Raises:
            ArchError: If the spec has errors for these values; the exception lists all of them.
            RequirementError: If a `require` of the spec does not hold for these values.
        """
        try:
            return self._network(overrides or {})
        except RecursionError:
            raise error("E403", "the spec is nested too deeply") from None
        except (ArchError, MemoryError):
            raise
        except Exception as problem:
            raise internal_error(problem) from problem

    def _network(self, overrides: Mapping[str, Any]) -> Network:
        options = self.options
        evaluator = Interpreter(options)
        scopes = Scopes(evaluator)
        binder = Binder(evaluator, scopes)
        try:
            bound = binder.bind(self.spec_file, overrides)
        except ArchError as problem:
            raise report_of([*self.diagnostics, *scopes.diagnostics, *problem.diagnostics], options) from None
        limits, wrong_limits = bind_limits(bound, evaluator)
        diagnostics = [*self.diagnostics, *scopes.diagnostics, *binder.diagnostics, *wrong_limits]
        unmet = unmet_requirements(binder)
        if unmet is not None and not errors_of(diagnostics):
            raise unmet
        if any(diagnostic.code == "E104" for diagnostic in self.diagnostics):
            raise report_of(diagnostics, options)  # a template that always calls itself cannot be expanded
        countable = not errors_of(scopes.diagnostics + binder.diagnostics)
        ir, of_graph = graph_of(bound, evaluator, self._cache, check=countable, before=diagnostics)
        # The names of parts in limits and `init` are checked for the file's values only: other values may give fewer.
        defaults = not overrides
        diagnostics += [*of_graph, *(misplaced(limits, ir) if defaults and not errors_of(of_graph) else ())]
        if errors_of(diagnostics):
            raise report_of(diagnostics, options)
        init, aimless = settle(bound.init, check_invariants(ir))
        if aimless and defaults:
            raise report_of([*diagnostics, *aimless], options)
        advise = self._advise(bound.parameters, overrides, len(ir.nodes))
        return Network(self.spec_file.file.span.source, bound, ir, init, limits, options, tuple(diagnostics), advise)

    def price(
        self, parameters: Mapping[str, Parameter], fixed: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> CostColumns:
        """The cost of many candidates, as columns; `Space.cost` describes the result.

        Args:
            parameters: The parameters of the network of the fixed values.
            fixed: Values of parameters that are the same for all candidates.
            columns: For each parameter that varies, its value for every candidate.

        Raises:
            ArchError: If a parameter cannot have one of its values.
            ValueError: If the columns have different lengths.
        """
        from resnext_dsl.columns.price import price  # numpy takes longer to import than all of `check`

        def cost(values: Mapping[str, Any]) -> Cost:
            return self.network({**fixed, **values}).cost()

        return price(self.spec_file, parameters, fixed, columns, cost, self.options)

    def _advise(
        self, parameters: Mapping[str, Parameter], overrides: Mapping[str, Any], nodes: int
    ) -> Callable[[Usage, Sequence[Usage]], str]:
        """A function that suggests a change for an exceeded limit; its first call builds an `Advisor`."""
        advisor: Advisor | None = None

        def advise(line: Usage, report: Sequence[Usage]) -> str:
            nonlocal advisor
            if advisor is None:
                from resnext_dsl.networks.advice import Advisor

                advisor = Advisor(
                    parameters,
                    lambda columns: self.price(parameters, overrides, columns),
                    lambda values: self.network({**overrides, **values}),
                    nodes,
                )
            return advisor.suggestion(line, report)

        return advise
