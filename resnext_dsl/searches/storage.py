"""Opens the database of a search."""

from __future__ import annotations

import random
import sqlite3
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.database import serialize
from resnext_dsl.searches.passwords import masked, without_password
from resnext_dsl.searches.patience import pending
from resnext_dsl.searches.plan import Plan

BUSY = 2
"""Seconds that SQLite waits for another process to finish writing; `patient` then tries again. Ctrl-C has no effect
during this wait."""

SERVER = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""Options of a connection to PostgreSQL, in seconds, so that a server that is gone is noticed."""

RACES = 20
"""Most attempts to open a new database while other processes create its tables."""

RACED = ("already exists", "duplicate key", "UNIQUE constraint", "database is locked", "deadlock detected")
"""Texts of the errors that a process gets if another process has just created the tables."""


def url_of(plan: Plan, name: str) -> str:
    """The URL of the database of a plan; by default a file with the network's name in the working folder."""
    return plan.storage or f"sqlite:///{name}.search.db"


def absolute(url: str) -> str:
    """The URL of a database without its password; the path of a SQLite file does not depend on the working folder."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(parsed.database or '').resolve()}"
    return without_password(url)


def open_storage(url: str, heartbeat: int, grace: int, patience: float = 0.0, is_checked: bool = False) -> RDBStorage:
    """Opens a database for use by many processes.

    Args:
        url: The URL of the database.
        heartbeat: Seconds between heartbeats of a trial.
        grace: Seconds without a heartbeat after which a trial is marked as failed.
        patience: Seconds that the database may be unavailable. A worker waits, because its search has already
            opened the database.
        is_checked: Whether the search has opened the database with the same Optuna. If so, the tables are not compared
            with Optuna's versions again, for which each worker would read Optuna's migrations.

    Raises:
        ArchError: E722 if the URL is not valid or the database cannot be reached.
    """
    end, tries = time.monotonic() + patience, 0
    with ExitStack() as outage:
        while True:
            tries += 1
            try:
                return _opened(url, heartbeat, grace, is_checked)
            except (ArgumentError, NoSuchModuleError, ImportError) as problem:
                hint = "sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE (pip install 'resnext-dsl[postgresql]')"
                raise _unusable(url, str(problem), hint) from None
            except OSError as problem:
                hint = "check that the folder exists and that you can write to it"
                raise _unusable(url, str(problem), hint) from None
            except (SQLAlchemyError, sqlite3.Error, StorageInternalError, RuntimeError, AssertionError) as problem:
                if time.monotonic() >= end and not (_is_race(problem) and tries < RACES):
                    hint = "check that the database is running and that you can write to it"
                    raise _unusable(url, str(problem.__cause__ or problem), hint) from None
            if tries == 1:
                outage.enter_context(pending())
            time.sleep(random.uniform(0.05, 0.5))  # a random wait, so that the same processes do not collide again


def _opened(url: str, heartbeat: int, grace: int, is_checked: bool) -> RDBStorage:
    parsed = make_url(url)
    arguments: dict[str, Any] = {"pool_pre_ping": True}  # a server may have closed the connection, unlike a file
    if parsed.get_driver_name() in ("psycopg", "psycopg2"):
        arguments["connect_args"] = {name: value for name, value in SERVER.items() if name not in parsed.query}
    if parsed.get_backend_name() == "sqlite":
        _prepare_file(parsed.database)
        arguments = {"connect_args": {"timeout": BUSY}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            engine_kwargs=arguments,
            skip_compatibility_check=is_checked,
            heartbeat_interval=heartbeat,
            grace_period=grace,
            skip_table_creation=is_checked,
        )
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
    first = message.strip().splitlines()[0] if message.strip() else "no reason given"
    text = masked(f"cannot use the storage {without_password(url)}: {first}", url)
    return ArchError([Diagnostic("E722", text[:300], hint=hint, file="--storage")])
