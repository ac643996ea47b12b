"""The steps of a trial in Optuna's storage: it is added, claimed and ended, by Optuna's public interface alone.

Who may do what is decided by one change of state, which the storage makes in one transaction: of several processes
that claim a waiting trial one gets it, and what has ended stays as it is. Whatever belongs to a state is written before
it: the candidate with the trial, a sign of life before it is running, the metrics before it is complete. So a process
may die between any two steps, and the trial is either as before or tried again.
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
    """The trials of a study. They are named by their number; the storage has an id for each of its own.

    Attributes:
        study: The study.
        storage: The storage that it is kept in.
    """

    def __init__(self, storage: RDBStorage, study: optuna.Study) -> None:
        self.study = study
        self.storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._ids: dict[int, int] = {}

    def id_of(self, number: int) -> int:
        """The id that the storage has for a trial."""
        if number not in self._ids:
            with reading():
                self._ids[number] = self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order; those that have ended are read once."""
        with reading():
            return self.study.get_trials(deepcopy=False)

    def state(self, number: int) -> TrialState:
        """The state that a trial has now."""
        with reading():
            return self.storage.get_trial(self.id_of(number)).state

    def add(self, trial: FrozenTrial, known: int) -> bool:
        """Adds a trial, with all that it has, in one transaction.

        Args:
            trial: The trial; it gets its number, if nobody has added another since.
            known: How many trials there were, as far as is known here.

        Returns:
            Whether nobody has added another.
        """
        added = self.storage.create_new_trial(self._study_id, trial)
        if self.id_of(known) != added:
            return False
        trial.number = known
        return True

    def claim(self, number: int) -> bool:
        """Whether a waiting trial is now ours and running."""
        self.beat(number)
        with suppress(UpdateFinishedTrialError):
            return self.storage.set_trial_state_values(self.id_of(number), TrialState.RUNNING)
        return False

    def beat(self, number: int) -> None:
        """Records a sign of life of a trial."""
        self.storage.record_heartbeat(self.id_of(number))

    def end(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float] | None = None,
    ) -> bool:
        """Ends a trial with what is known of it; False if it has ended already, and then it stays as it is.

        Args:
            number: Which.
            state: The state that it ends in.
            values: Those of the objectives.
            attributes: What else is kept.
            constraints: Those above zero are violated.
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
        """A running trial as an objective function of Optuna has it."""
        return optuna.Trial(self.study, self.id_of(number))

    def fail_stale(self) -> None:
        """Marks running trials as failed if their last sign of life is older than the storage's grace period."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)


# --- transactions of SQLite ---

_local = threading.local()


@contextmanager
def reading() -> Iterator[None]:
    """Within the block, this thread only reads: its transactions do not keep other processes from writing."""
    before, _local.reads = getattr(_local, "reads", False), True
    try:
        yield
    finally:
        _local.reads = before


def serialize(engine: Engine) -> None:
    """Makes each transaction of a SQLite database a whole.

    Python's driver begins one at the first write only, so that two processes could both read that a trial is waiting
    and both claim it. Other databases lock the row.
    """
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)


def _connected(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions by itself
    # Of a write-ahead log, a crash of the machine may lose the last results, a crash of a process none.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begun(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN" if getattr(_local, "reads", False) else "BEGIN IMMEDIATE")
