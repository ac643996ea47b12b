"""Opens the database of a search and its study, and waits for a database that is busy or unavailable."""

from __future__ import annotations

import random
import sqlite3
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.database import Records, serialize
from resnext_dsl.searches.plan import Plan

BUSY = 60
"""Seconds that SQLite waits for another process to finish writing."""

AWAY = 600.0
"""Most seconds that a database may be unavailable during a search."""

RACES = 20
"""Most attempts to open a new database while other processes create its tables."""

RACED = ("already exists", "duplicate key", "UNIQUE constraint", "database is locked", "deadlock detected")
"""Texts of the errors that a process gets if another process has just created the tables."""

SPACE, PLAN = "space", "plan"
"""Attributes of a study: the identity of its space, and its plan."""

Result = TypeVar("Result")


def url_of(plan: Plan, name: str) -> str:
    """The URL of the database of a plan; by default a file with the network's name in the working folder."""
    return plan.storage or f"sqlite:///{name}.search.db"


def open_storage(url: str, heartbeat: int, grace: int, patience: float = 0.0) -> RDBStorage:
    """Opens a database for use by many processes.

    Args:
        url: The URL of the database.
        heartbeat: Seconds between heartbeats of a trial.
        grace: Seconds without a heartbeat after which a trial is marked as failed.
        patience: Seconds that the database may be unavailable. A worker waits, because its search has already
            opened the database.

    Raises:
        ArchError: E722 if the URL is not valid or the database cannot be reached.
    """
    end, tries = time.monotonic() + patience, 0
    while True:
        tries += 1
        try:
            return _opened(url, heartbeat, grace)
        except (ArgumentError, NoSuchModuleError, ImportError) as problem:
            hint = "sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE (pip install 'resnext-dsl[postgresql]')"
            raise _unusable(url, str(problem), hint) from None
        except OSError as problem:
            raise _unusable(url, str(problem), "check that the folder exists and that you can write to it") from None
        except (SQLAlchemyError, sqlite3.Error, StorageInternalError, RuntimeError, AssertionError) as problem:
            if time.monotonic() >= end and not (_is_race(problem) and tries < RACES):
                hint = "check that the database is running and that you can write to it"
                raise _unusable(url, str(problem.__cause__ or problem), hint) from None
        time.sleep(random.uniform(0.05, 0.5))  # a random wait, so that the same processes do not collide again


def _opened(url: str, heartbeat: int, grace: int) -> RDBStorage:
    parsed = make_url(url)
    arguments: dict[str, Any] = {"pool_pre_ping": True}  # a server may have closed the connection, unlike a file
    if parsed.get_backend_name() == "sqlite":
        _prepare_file(parsed.database)
        arguments = {"connect_args": {"timeout": BUSY}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(url, engine_kwargs=arguments, heartbeat_interval=heartbeat, grace_period=grace)
    if parsed.get_backend_name() == "sqlite":
        serialize(storage.engine)
        storage.engine.dispose()  # closes the connections that were opened before `serialize`
    return storage


def _is_race(problem: BaseException) -> bool:
    """Whether another process that creates the same tables caused an error; Optuna asserts that they are filled."""
    text = f"{problem} {problem.__cause__}"
    return isinstance(problem, AssertionError) or any(words in text for words in RACED)


def close(storage: RDBStorage) -> None:
    """Closes the connections of a database."""
    storage.remove_session()
    storage.engine.dispose()


def _prepare_file(path: str | None) -> None:
    """Turns on the write-ahead log, so that readers and a writer do not wait for each other."""
    if path in (None, "", ":memory:"):
        raise ArgumentError("a database in memory cannot be shared; give a file")
    assert path is not None
    if not Path(path).parent.is_dir():
        raise OSError(f"there is no folder {Path(path).parent}")
    connection = sqlite3.connect(path, timeout=BUSY)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _unusable(url: str, message: str, hint: str) -> ArchError:
    shown = make_url(url).render_as_string(hide_password=True) if "://" in url else url
    first = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return ArchError(
        [Diagnostic("E722", f"cannot use the storage {shown}: {first}"[:300], hint=hint, file="--storage")]
    )


def open_study(storage: RDBStorage, name: str, plan: Plan, identity: str, patience: float = 0.0) -> Records:
    """Opens the study of a search, from an earlier run or a new one.

    Raises:
        ArchError: E723 if a study of this name belongs to another search.
    """
    directions = [StudyDirection[direction.upper()] for direction in plan.directions]
    create = partial(
        optuna.create_study, storage=storage, study_name=name, directions=directions, sampler=_sampler(plan)
    )
    try:
        study = patient(create, patience)
        patient(lambda: study.set_user_attr(PLAN, plan.described()))
        patient(lambda: study.set_user_attr(SPACE, identity))
    except DuplicatedStudyError:
        study = patient(lambda: optuna.load_study(storage=storage, study_name=name, sampler=_sampler(plan)), patience)
        _check(study, identity, patience)
    return patient(lambda: Records(storage, study), patience)


def _sampler(plan: Plan) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=plan.seed)  # Optuna requires a sampler; `propose` chooses the candidates


def _check(study: optuna.Study, identity: str, patience: float) -> None:
    """Refuses the study of another search."""
    for _ in range(20):
        known = patient(lambda: study.user_attrs.get(SPACE), patience)
        if known is not None:
            break
        time.sleep(0.25)  # another process has just created the study
    if known != identity:
        why = (
            "of another search space, or for other objectives, budgets or another evaluator"
            if known
            else "which was not created by resnext-dsl"
        )
        hint = "give this search another name (`--study NAME`), or another `--storage`"
        message = f"the storage already has a study `{study.study_name}`, {why}; nothing is changed"
        raise ArchError([Diagnostic("E723", message, hint=hint, file="--storage")])


def patient(run: Callable[[], Result], seconds: float = AWAY) -> Result:
    """Runs a database operation, and repeats it while the database is busy or unavailable.

    Raises:
        StorageInternalError, SQLAlchemyError, sqlite3.Error: If the operation still fails after `seconds`.
    """
    wait, end = 0.05, time.monotonic() + seconds
    while True:
        try:
            return run()
        except (StorageInternalError, SQLAlchemyError, sqlite3.Error):
            if time.monotonic() + wait > end:
                raise
            time.sleep(wait)
            wait = min(2 * wait, 10.0)


def without_password(url: str) -> str:
    """A URL without its password, for output."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return f"{url.partition('://')[0]}://..." if "://" in url else url
