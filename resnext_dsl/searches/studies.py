"""Opens the study of a search: a new one, or that of an earlier run if its trials belong to the same search."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.architectures import key_of
from resnext_dsl.searches.database import Records
from resnext_dsl.searches.machines import machine
from resnext_dsl.searches.passwords import without_password
from resnext_dsl.searches.patience import patient
from resnext_dsl.searches.plan import Plan, identity, parts_of
from resnext_dsl.searches.trials import VOID, all_trials, candidate_of, known_key
from resnext_dsl.spaces.space import Space

SPACE, PLAN, MACHINE = "space", "plan", "machine"
"""Attributes of a study: the identity of its search, its plan, and the machine that created it."""

PARTS, VERSIONS = "parts", "evaluator_versions"
"""Attributes of a study: the parts of its identity, and the versions of its evaluator's source."""

CREATION = 20.0
"""Seconds to wait for the attributes of a study that another process has just created."""

MENDABLE = {"domains", "network"}
"""Parts of the identity that may change if every trial is still a candidate with the same network."""


class Opened(NamedTuple):
    """A study that was opened.

    Attributes:
        records: Its trials.
        creator: The machine that created it.
        kept: The number of its trials, if the domains have changed and every trial is still a candidate.
        versions: The number of versions of the evaluator that its results come from.
    """

    records: Records
    creator: str
    kept: int | None
    versions: int


def open_study(storage: RDBStorage, name: str, plan: Plan, space: Space, version: str = "") -> Opened:
    """Opens the study of a search, from an earlier run or a new one.

    Args:
        storage: The database.
        name: The name of the study.
        plan: The plan of the search.
        space: The space to search.
        version: A hash of the evaluator's source; "" if it is not known.

    Raises:
        ArchError: E723 if a study of this name belongs to another search.
    """
    directions = [StudyDirection[direction.upper()] for direction in plan.directions]
    create = partial(
        optuna.create_study, storage=storage, study_name=name, directions=directions, sampler=_sampler(plan)
    )
    expected = identity(plan, space)
    described = {PLAN: plan.stored(), PARTS: parts_of(plan, space), MACHINE: machine()}
    versions = {VERSIONS: [version]} if version else {}
    try:
        study = patient(create)
        _set(study, described | versions | {SPACE: expected})  # the identity last: the others are there with it
        return Opened(patient(lambda: Records(storage, study)), machine(), None, len(versions))
    except DuplicatedStudyError:
        study = patient(lambda: optuna.load_study(storage=storage, study_name=name, sampler=_sampler(plan)))
    attributes = _attributes(study)
    records = patient(lambda: Records(storage, study))
    kept = None
    if attributes.get(SPACE) != expected:
        kept = _kept(records, attributes, plan, space)
        _set(study, {PARTS: described[PARTS], PLAN: described[PLAN], SPACE: expected})
    _mask_password(study, attributes)
    known = [*attributes.get(VERSIONS, [])]
    if version and version not in known:
        known.append(version)
        _set(study, {VERSIONS: known})
    return Opened(records, str(attributes.get(MACHINE, "")), kept, len(known))


def _sampler(plan: Plan) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=plan.seed)  # Optuna requires a sampler; `propose` chooses the candidates


def _set(study: optuna.Study, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        patient(partial(study.set_user_attr, name, value))


def _attributes(study: optuna.Study) -> dict[str, Any]:
    """The attributes of a study; waits for those of a study that another process has just created."""
    end = time.monotonic() + CREATION
    while True:
        attributes = patient(lambda: study.user_attrs)
        others = not attributes and patient(lambda: study.get_trials(deepcopy=False))
        if SPACE in attributes or others or time.monotonic() > end:
            return attributes
        time.sleep(0.25)


def _mask_password(study: optuna.Study, attributes: dict[str, Any]) -> None:
    """Removes the password from the plan of a study that an earlier version created."""
    plan = attributes.get(PLAN)
    if not isinstance(plan, dict) or not isinstance(plan.get("storage"), str):
        return
    shown = without_password(plan["storage"])
    if shown != plan["storage"]:
        _set(study, {PLAN: {**plan, "storage": shown}})


# --- the study of an earlier run ---


def _kept(records: Records, attributes: dict[str, Any], plan: Plan, space: Space) -> int:
    """The number of trials of a study whose domains differ from the plan's; every trial must still be a candidate.

    Raises:
        ArchError: E723 if the study belongs to another search.
    """
    if SPACE not in attributes:
        raise _refused(records, "which was not created by resnext-dsl")
    known, parts = attributes.get(PARTS), parts_of(plan, space)
    if not isinstance(known, dict):
        raise _refused(records, "of another search space, or for other objectives, budgets or another evaluator")
    different = [name for name in parts if parts[name] != known.get(name)]
    others = [name for name in different if name not in MENDABLE]
    if others:
        raise _refused(records, f"of another search: the {_listed(others)} differ")
    trials = [trial for trial in all_trials(records) if known_key(trial) and VOID not in trial.user_attrs]
    outside = [trial for trial in trials if not _is_candidate(trial, plan, space)]
    if outside:
        first = ", ".join(f"{name}={value}" for name, value in (candidate_of(outside[0]) or {}).items())
        count = f"{len(outside)} of its {len(trials)} trials"
        raise _refused(
            records,
            f"whose {_listed(different)} differ, and {count} are no candidates any more (trial {outside[0].number}: "
            f"{first})",
        )
    return len(trials)


def _is_candidate(trial: FrozenTrial, plan: Plan, space: Space) -> bool:
    """Whether a trial is still a candidate of a space: within its domains and budgets, with the same network."""
    try:
        candidate = space.candidate(candidate_of(trial) or {})
        if not space.screen(plan.budget or None).judge(space.population([candidate])).kept[0]:
            return False
        return key_of(space, candidate, space.bind(candidate)) == known_key(trial)
    except ArchError:
        return False


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _refused(records: Records, why: str) -> ArchError:
    hint = "give this search another name (`--study NAME`), or another `--storage`"
    message = f"the storage already has a study `{records.study.study_name}`, {why}; nothing is changed"
    return ArchError([Diagnostic("E723", message[:400], hint=hint, file="--storage")])
