"""`resnext-dsl solve`: finds values of parameters that match a cost or meet bounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.semantics.domain import Domain
    from resnext_dsl.spaces.solver import Answer, MatchTarget, UpperBound
    from resnext_dsl.spaces.space import Space

Measures = list[str] | None


def solve(
    spec: answers.Spec,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="NAME[=DOMAIN]",
            help="Parameter to vary, in its declared domain or in this one: `width=4..128 step 4`, "
            "`cardinality={8, 16}`, `depths[2]=1..36`; repeatable.",
        ),
    ],
    settings: answers.Set = None,
    match: Annotated[
        Measures,
        typer.Option(
            "--match",
            metavar="MEASURE[=NUMBER]",
            help="Measure to match, with its target; repeatable.  [default target: the cost of --of]",
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--of", metavar="SPEC", help="Spec whose cost is the target.  [default: SPEC with its own values]"
        ),
    ] = None,
    times: Annotated[float, typer.Option("--times", min=0, help="Factor on every target.")] = 1.0,
    under: Annotated[
        Measures, typer.Option("--under", metavar="MEASURE=NUMBER", help="Upper bound on a measure; repeatable.")
    ] = None,
    minimize: Annotated[
        Measures,
        typer.Option("--minimize", metavar="NAME", help="Measure or varied parameter to minimize; repeatable."),
    ] = None,
    maximize: Annotated[
        Measures,
        typer.Option("--maximize", metavar="NAME", help="Measure or varied parameter to maximize; repeatable."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            "--within", metavar="SHARE", help="Largest difference from a target, in percent: `1%`.  [default: no limit]"
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Number of solutions to show.")] = 5,
    budgets: Annotated[
        Measures,
        typer.Option(
            "--budget",
            metavar="NAME",
            help="Budget of SPEC to meet; repeatable.  [default: all without --match, none with it]",
        ),
    ] = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Find parameter values that match a cost or meet bounds, the best first.

    The measures are params, flops, macs and activations. The command computes the exact cost of every combination of
    the domains. With bounds only, it maximizes the bounded measures. Several objectives give their Pareto front.
    Without --match, every solution meets the budgets of SPEC. The exit status is 1 if no combination meets the bounds
    and budgets.

    Example: resnext-dsl solve resnext50_32x4d --vary width --set cardinality=8 --match params --of resnet50
    """
    from resnext_dsl.spaces.solver import nothing
    from resnext_dsl.spaces.solver import solve as best

    with answers.reported():
        space = _space(spec, settings, root)
        domains = _domains(space, vary, settings)
        goals = [_match(text, of or spec, times, None if of else root) for text in match or []]
        bounds = [_bound(text) for text in under or []]
        answer = best(
            space, domains, goals, bounds, minimize or (), maximize or (), _share(within), count, budgets or ()
        )
        if as_json:
            answers.print_json(_answer(answer, goals))
        if not answer.solutions:
            raise nothing(space, answer)
        if not as_json:
            _show(space, answer, goals, count)


def _space(spec: str, settings: list[str] | None, root: str | None) -> Space:
    from resnext_dsl.foundation.options import DEFAULTS
    from resnext_dsl.networks.loading import source_of
    from resnext_dsl.spaces.space import space_of

    return space_of(source_of(spec, DEFAULTS), root, DEFAULTS, answers.overrides(settings))


def _domains(space: Space, vary: list[str], settings: list[str] | None) -> dict[str, Domain]:
    """The domains of all `--vary`; one of a parameter as a whole excludes those of its elements."""
    domains: dict[str, Domain] = {}
    for text in vary:
        for name, domain in _varied(space, text, settings).items():
            if name in domains or name.partition("[")[0] in domains:
                answers.fail(f"`{name}` has two domains by --vary")
            domains[name] = domain
    return domains


def _varied(space: Space, text: str, settings: list[str] | None) -> dict[str, Domain]:
    """Parses `--vary`: a parameter, or the elements of a list, with their domains."""
    from resnext_dsl.foundation.diagnostics import ArchError, error
    from resnext_dsl.foundation.options import DEFAULTS
    from resnext_dsl.semantics.domain import domain_of
    from resnext_dsl.semantics.evaluate import Interpreter
    from resnext_dsl.semantics.overrides import domain_in, override_source
    from resnext_dsl.semantics.values import Environment
    from resnext_dsl.spaces.solver import element_of

    name, sign, written = (part.strip() for part in text.partition("="))
    parameter, element = element_of(name)
    space.known(parameter, name)
    if name in answers.overrides(settings):
        answers.fail(f"`{name}` has a value by --set, so it cannot vary")
    if sign:
        try:
            return _elements(name, domain_of(domain_in(written, name), Interpreter(DEFAULTS), Environment()))
        except ArchError as problem:
            first = problem.diagnostics[0]
            raise error(first.code, first.message, override_source(name, written), hint=first.hint) from None
    domain = space.network.parameters[parameter].domain
    if domain is not None and element is not None:
        domain = domain.each[element] if element < len(domain.each) else None
    if domain is None:
        hint = f"declare one in the file, or give one here: `--vary {name}=1..64`"
        raise error("E202", f"`{name}` has no domain", override_source(name, text), hint=hint)
    return _elements(name, domain)


def _elements(name: str, domain: Domain) -> dict[str, Domain]:
    """A domain by name; for a list, the domains of its elements."""
    return {f"{name}[{place}]": each for place, each in enumerate(domain.each)} or {name: domain}


def _match(text: str, of: str, times: float, root: str | None) -> MatchTarget:
    from resnext_dsl.costs.closed_form import COST_MEASURES
    from resnext_dsl.networks.loading import load
    from resnext_dsl.spaces.solver import MatchTarget

    measure, sign, number = (part.strip() for part in text.partition("="))
    if sign:
        return MatchTarget(measure, round(_number(measure, number) * times))
    cost = load(of, root=root).cost()
    return MatchTarget(measure, round(getattr(cost, measure) * times) if measure in COST_MEASURES else 0)


def _bound(text: str) -> UpperBound:
    from resnext_dsl.spaces.solver import UpperBound

    measure, sign, number = (part.strip() for part in text.partition("="))
    if not sign:
        answers.fail(f"`--under {text}` is not MEASURE=NUMBER")
    return UpperBound(measure, _number(measure, number))


def _number(name: str, text: str) -> float:
    """Parses a number in the syntax of specs: 4.1G."""
    from resnext_dsl.foundation.diagnostics import error
    from resnext_dsl.foundation.options import DEFAULTS
    from resnext_dsl.semantics.evaluate import Interpreter
    from resnext_dsl.semantics.overrides import override_source, value_of
    from resnext_dsl.semantics.values import Environment, show

    span = override_source(name, text)
    value = value_of(span, Interpreter(DEFAULTS), Environment())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error("E204", f"`{name}` must be a number; found {show(value)}", span)
    return value


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text) is None:
        answers.fail(f"`--within {text}` is not a percentage; write one like 1%")
    return float(text.removesuffix("%")) / 100


def _answer(answer: Answer, goals: list[MatchTarget]) -> dict[str, Any]:
    return {
        "solutions": [solution.to_json() for solution in answer.solutions],
        "targets": {goal.measure: goal.target for goal in goals},
        "pareto": answer.front,
        "candidates": answer.candidates,
        "valid": answer.valid,
        "met": answer.met,
    }


def _show(space: Space, answer: Answer, goals: list[MatchTarget], count: int) -> None:
    from resnext_dsl.display.breakdowns import print_solutions

    print_solutions(space.network.name, answer, goals, count)
