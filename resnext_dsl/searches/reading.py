"""Reads the results of a search from its storage, without an evaluation and without a change to the storage.

A study stores its plan, so its storage and its name are enough. The stored text is not trusted: no module that it names
is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, did_you_mean
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.networks.loading import parsed, source_of
from resnext_dsl.searches.database import Records
from resnext_dsl.searches.evaluator import COST, evaluator_of
from resnext_dsl.searches.found import Found, results_of
from resnext_dsl.searches.passwords import masked, without_password
from resnext_dsl.searches.plan import Plan, identity
from resnext_dsl.searches.preselection import STAGES, Stage
from resnext_dsl.searches.storage import close, open_storage
from resnext_dsl.searches.studies import PLAN, SPACE
from resnext_dsl.searches.trials import all_trials, standing
from resnext_dsl.semantics.spec_files import the_network
from resnext_dsl.spaces.space import Space

HEARTBEAT = 20
"""The heartbeat interval in seconds with which a storage is opened; the interval of its workers is not known yet."""


def read(
    spec: str | os.PathLike[str], /, *, storage: str = "", study: str = "", root: str | None = None, **fixed: Any
) -> Found:
    """Reads the results so far of a search of a spec; its workers may still be running.

    Args:
        spec: A path, or the name of a shipped network.
        storage: URL of the search's database; by default the file that a search creates in the working folder.
        study: Name of the study in the storage; the name of the network by default.
        root: The folder that imports stay under.
        **fixed: Values of parameters that differ from those at the start of the search.

    Raises:
        ArchError: E722 if the storage or the study does not exist, E723 if the study belongs to another spec.
    """
    path = os.fspath(spec)
    network = the_network(parsed(source_of(path, DEFAULTS), root, DEFAULTS)).name.text
    url, name = storage or f"sqlite:///{network}.search.db", study or network
    with _opened(url) as database:
        kept = _study(database, url, name)
        plan = _plan(kept, path, root, fixed)._replace(storage=url, study=name)
        space = _space(kept, plan)
        stages = [Stage(*stage) for stage in kept.user_attrs.get(STAGES, [])]
        so_far = results_of(space, plan, standing(all_trials(Records(database, kept))), stages)
    return so_far._replace(exhausted=False)


@contextmanager
def _opened(url: str) -> Iterator[RDBStorage]:
    """Opens an existing database."""
    _refuse_missing(url)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = open_storage(url, HEARTBEAT, 3 * HEARTBEAT)
    try:
        yield database
    finally:
        close(database)


def _refuse_missing(url: str) -> None:
    """Raises E722 if opening a database would create it or its tables."""
    try:
        parts = make_url(url)
        if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
            raise _missing(url, f"there is no file {parts.database}" if parts.database else "it names no file")
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as problem:
        raise _missing(url, str(problem)) from None
    try:
        if not inspect(engine).has_table("studies"):
            raise _missing(url, "the storage has no searches")
    except (SQLAlchemyError, OSError) as problem:
        raise _missing(url, str(problem.__cause__ or problem)) from None
    finally:
        engine.dispose()


def _missing(url: str, why: str, hint: str = "give the `--storage` and the `--study` of the search") -> ArchError:
    reason = masked((why.strip() or "no reason given").splitlines()[0], url)
    message = f"cannot read a search from {without_password(url)}: {reason}"
    return ArchError([Diagnostic("E722", message[:300], hint=hint, file="--storage")])


def _study(database: RDBStorage, url: str, name: str) -> optuna.Study:
    try:
        return optuna.load_study(storage=database, study_name=name, sampler=optuna.samplers.RandomSampler())
    except KeyError:
        names = optuna.get_all_study_names(database)
        listed = f"it has {', '.join(f'`{one}`' for one in names[:8])}" if names else "it has none"
        raise _missing(url, f"there is no study `{name}`", did_you_mean(name, names) or listed) from None


def _plan(study: optuna.Study, spec: str, root: str | None, fixed: Mapping[str, Any]) -> Plan:
    """The plan that the study was started with, for this spec."""
    try:
        plan = Plan.from_json(json.dumps(study.user_attrs[PLAN]))
        plan = plan._replace(spec=spec, root=root, settings={**plan.settings, **fixed}, evaluator=str(plan.evaluator))
        plan.check()
    except (KeyError, TypeError, AttributeError, ArchError):
        message = f"the study `{study.study_name}` was not created by resnext-dsl"
        raise ArchError([Diagnostic("E723", message, hint="give another `--study`", file="--storage")]) from None
    return plan


def _space(study: optuna.Study, plan: Plan) -> Space:
    """The space of the study; checks that the spec still has this space."""
    known = study.user_attrs.get(SPACE)
    space = plan.space()
    if identity(plan, space) == known:
        return space
    if ":" not in plan.evaluator and plan.evaluator != COST:  # a built-in evaluator may need parameter values
        space = plan.space(evaluator_of(plan).overrides(space.network, plan.settings))
        if identity(plan, space) == known:
            return space
    message = f"the study `{study.study_name}` belongs to another search space than `{plan.spec}`; nothing is written"
    hint = "give the spec as it was searched, with the same `--set` values, or another `--study`"
    raise ArchError([Diagnostic("E723", message, hint=hint, file="--storage")])
