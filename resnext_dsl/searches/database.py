"""Adds, claims and ends trials in Optuna's storage, through Optuna's public interface alone.

A trial changes its state in one transaction. So if several processes claim a waiting trial, exactly one becomes its
owner, and a trial that has ended never changes. The data of a state is written before the state: the candidate together
with the trial, the metrics before it is complete. So if a process dies between two steps, the trial is either unchanged
or tried again.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, event


class Records:
    """The trials of a study, by their number; the storage has another id for each of them.

    Attributes:
        study: The study.
        storage: The storage of the study.
    """

    def __init__(self, storage: RDBStorage, study: optuna.Study) -> None:
        self.study = study
        self.storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._ids: dict[int, int] = {}

    def id_of(self, number: int) -> int:
        """The id of a trial in the storage."""
        if number not in self._ids:
            with reading():
                self._ids[number] = self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order; ended trials are read from the database only once."""
        with reading():
            return self.study.get_trials(deepcopy=False)

    def state(self, number: int) -> TrialState:
        """The current state of a trial."""
        with reading():
            return self.storage.get_trial(self.id_of(number)).state

    def add(self, trial: FrozenTrial, known: int) -> bool:
        """Adds a trial with all its data, in one transaction.

        Args:
            trial: The trial. It gets its number if no other process has added a trial meanwhile.
            known: The number of trials that this process has read.

        Returns:
            Whether the trial got its number.
        """
        added = self.storage.create_new_trial(self._study_id, trial)
        if self.id_of(known) != added:
            return False
        trial.number = known
        return True

    def claim(self, number: int) -> bool:
        """Claims a waiting trial. Returns whether this process is now its owner."""
        self.beat(number)
        with suppress(UpdateFinishedTrialError):
            return self.storage.set_trial_state_values(self.id_of(number), TrialState.RUNNING)
        return False

    def note(self, number: int, name: str, value: Any) -> None:
        """Stores an attribute of a trial that has not ended."""
        with suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(self.id_of(number), name, value)

    def beat(self, number: int) -> None:
        """Records a heartbeat of a trial."""
        self.storage.record_heartbeat(self.id_of(number))

    def end(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float] | None = None,
    ) -> bool:
        """Ends a trial. Returns False, without a change, if the trial has already ended.

        Args:
            number: The number of the trial.
            state: Its final state.
            values: The values of the objectives.
            attributes: Other data to store.
            constraints: The violation of each constraint; a value above zero violates it.
        """
        trial_id = self.id_of(number)
        with suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                self.storage.set_trial_user_attr(trial_id, name, value)
            if constraints:
                trial = self.trial(number)
                for name, value in constraints.items():
                    trial.set_constraint(name, value)
            return self.storage.set_trial_state_values(trial_id, state, values)
        return False

    def trial(self, number: int) -> optuna.Trial:
        """A running trial, in the form that Optuna passes to an objective function."""
        return optuna.Trial(self.study, self.id_of(number))

    def fail_stale(self) -> None:
        """Marks running trials as failed if their last heartbeat is older than the storage's grace period."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)


# --- transactions of SQLite ---

_local = threading.local()


@contextmanager
def reading() -> Iterator[None]:
    """Marks a block in which this thread only reads, so that its transactions do not block writers."""
    before, _local.reads = getattr(_local, "reads", False), True
    try:
        yield
    finally:
        _local.reads = before


def serialize(engine: Engine) -> None:
    """Makes each transaction of a SQLite database start before its first read.

    Python's driver starts a transaction only at the first write. Two processes could both read that a trial is waiting
    and both claim it. Other databases lock the row.
    """
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)


def _connected(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver starts no transactions by itself
    # With a write-ahead log, a crash of the machine may lose the last results. A crash of a process loses none.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begun(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN" if getattr(_local, "reads", False) else "BEGIN IMMEDIATE")
