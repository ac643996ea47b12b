"""Opens the database of a search, and the study in it; waits for a database that is busy or away for a while."""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.study import StudyDirection
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.database import Database
from resnext_dsl.searches.plan import Plan

BUSY = 60
"""Seconds that SQLite waits for another process to finish writing."""

AWAY = 600.0
"""Seconds that a database may be away while a search runs."""

SPACE, PLAN = "space", "plan"
"""What a study keeps about itself: the identity of its space, and what was asked."""

Result = TypeVar("Result")


def url_of(plan: Plan, name: str) -> str:
    """The database of a plan; by default a file of the network's name in the working folder."""
    return plan.storage or f"sqlite:///{name}.search.db"


def open_storage(url: str, heartbeat: int, grace: int) -> Database:
    """A database, ready for many processes.

    Raises:
        ArchError: E722 where it cannot be reached, or the URL is none.
    """
    try:
        parsed = make_url(url)
        arguments: dict[str, Any] = {"pool_pre_ping": True}  # a server may have gone away, a file has not
        if parsed.get_backend_name() == "sqlite":
            _prepare_file(parsed.database)
            arguments = {"connect_args": {"timeout": BUSY}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = Database(
                url,
                engine_kwargs=arguments,
                heartbeat_interval=heartbeat,
                grace_period=grace,
            )
    except (ArgumentError, NoSuchModuleError, ImportError) as problem:
        hint = "sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE (pip install 'resnext-dsl[postgresql]')"
        raise _unusable(url, str(problem), hint) from None
    except (SQLAlchemyError, sqlite3.Error, OSError, StorageInternalError, RuntimeError) as problem:
        raise _unusable(url, str(problem.__cause__ or problem), "is it running, and may you write to it?") from None
    if parsed.get_backend_name() == "sqlite":
        # Of a write-ahead log, a crash of the machine may lose the last results, a crash of a process none.
        event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
        storage.engine.dispose()
    return storage


def close(storage: Database) -> None:
    """Closes the connections of a database."""
    storage.remove_session()
    storage.engine.dispose()


def _prepare_file(path: str | None) -> None:
    """Turns on the write-ahead log, with which readers and a writer do not wait for each other."""
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


def open_study(storage: Database, name: str, plan: Plan, identity: str) -> optuna.Study:
    """The study of a search: that of an earlier run, or a new one.

    Raises:
        ArchError: E723 where one of this name is of another search.
    """
    cached = optuna.storages.get_storage(storage)
    sampler = optuna.samplers.RandomSampler(seed=plan.seed)
    directions = [StudyDirection[direction.upper()] for direction in plan.directions]
    try:
        study = optuna.create_study(storage=cached, study_name=name, directions=directions, sampler=sampler)
        patient(lambda: study.set_user_attr(PLAN, plan.described()))
        patient(lambda: study.set_user_attr(SPACE, identity))
    except DuplicatedStudyError:
        study = _existing(cached, name, sampler, identity)
    return study


def _existing(storage: Any, name: str, sampler: Any, identity: str) -> optuna.Study:
    study = optuna.load_study(storage=storage, study_name=name, sampler=sampler)
    for _ in range(20):
        known = study.user_attrs.get(SPACE)
        if known is not None:
            break
        time.sleep(0.25)  # another process has just made it
    if known != identity:
        why = (
            "of another space, or for other objectives, budgets or another evaluator"
            if known
            else "not of this program"
        )
        hint = "give this search a name of its own (`--study NAME`), or another `--storage`"
        message = f"the storage has a study `{name}` already, {why}; nothing was changed"
        raise ArchError([Diagnostic("E723", message, hint=hint, file="--storage")])
    return study


def patient(run: Callable[[], Result], seconds: float = AWAY) -> Result:
    """The result of a step of the database, tried again while it is busy or away.

    Raises:
        StorageInternalError, SQLAlchemyError: Where it stays so.
    """
    wait, end = 0.05, time.monotonic() + seconds
    while True:
        try:
            return run()
        except (StorageInternalError, SQLAlchemyError):
            if time.monotonic() + wait > end:
                raise
            time.sleep(wait)
            wait = min(2 * wait, 10.0)


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return f"{url.partition('://')[0]}://..." if "://" in url else url
