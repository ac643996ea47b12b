"""Optuna's database, with the steps that a search takes for every trial in one transaction each.

The tables are Optuna's and everything else is done by its own storage, so that its tools read a study as any other.
Its own steps go through objects that are made of rows, in many statements and several transactions: they took longer
than a search may take for a trial, and a process could die between two that belong together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Row, Table, delete, func, insert, or_, select, update

FAST = ("sqlite", "postgresql")
"""Databases whose steps are done here; those of others are Optuna's own."""

Found = Row[*tuple[Any, ...]]

AT_ONCE = 500
"""Trials that one statement asks for: databases bound the length of a list."""


def _table(model: Any) -> Table:
    return model.__table__  # type: ignore[no-any-return]


STUDIES, TRIALS, PARAMS, VALUES, USER, SYSTEM, STEPS, HEARTBEATS, NOTES = map(
    _table,
    (
        models.StudyModel,
        models.TrialModel,
        models.TrialParamModel,
        models.TrialValueModel,
        models.TrialUserAttributeModel,
        models.TrialSystemAttributeModel,
        models.TrialIntermediateValueModel,
        models.TrialHeartbeatModel,
        models.StudySystemAttributeModel,
    ),
)


class Database(RDBStorage):
    """Optuna's storage, with faster steps for trials."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._fast = self.engine.dialect.name in FAST
        self._seen: dict[int, FrozenTrial] = {}
        self._reporting: set[int] = set()

    # --- steps ---

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """A new trial; one that is running has a sign of life from the beginning."""
        if template_trial is None or template_trial.state.is_finished():
            return super()._create_new_trial(study_id, template_trial)
        if not self._fast:
            return self._slowly_created(study_id, template_trial)
        with self.engine.begin() as connection:
            trial = _inserted(connection, study_id, template_trial)
        self._seen[trial._trial_id] = trial
        return trial

    def _slowly_created(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """A new trial by Optuna's own steps, which give no sign of life: so it waits until it is claimed."""
        runs, waiting = template.state is TrialState.RUNNING, copy(template)
        waiting.state = TrialState.WAITING
        trial = super()._create_new_trial(study_id, waiting)
        if runs and self.claim(trial._trial_id):
            trial.state = TrialState.RUNNING
        return trial

    def claim(self, trial_id: int) -> bool:
        """Whether a waiting trial is now ours: running, with a sign of life."""
        mine = update(TRIALS).where(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.WAITING)
        with self.engine.begin() as connection:
            done = connection.execute(mine.values(state=TrialState.RUNNING, datetime_start=_now()))
            if done.rowcount != 1:
                return False
            connection.execute(delete(HEARTBEATS).where(HEARTBEATS.c.trial_id == trial_id))
            connection.execute(insert(HEARTBEATS), [{"trial_id": trial_id}])
            return True

    def end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float] | None = None,
    ) -> bool:
        """Ends a trial with what is known of it; False where it has ended already, and nothing is changed then.

        Args:
            trial_id: Which.
            state: What it ends as.
            values: Those of the objectives.
            attributes: What else is kept.
            constraints: What is above zero is violated.
        """
        alive = TRIALS.c.state.in_([TrialState.RUNNING, TrialState.WAITING])
        ending = update(TRIALS).where(TRIALS.c.trial_id == trial_id, alive)
        named = {f"{_CONSTRAINTS_KEY}:{name}": value for name, value in (constraints or {}).items()}
        now = _now()
        with self.engine.begin() as connection:
            done = connection.execute(ending.values(state=state, datetime_complete=now))
            if done.rowcount != 1:
                return False
            if values is not None:
                connection.execute(insert(VALUES), [_value_row(trial_id, *value) for value in enumerate(values)])
            if attributes:
                connection.execute(insert(USER), _attribute_rows(trial_id, attributes))
            if named:
                connection.execute(insert(SYSTEM), _attribute_rows(trial_id, named))
        known = self._seen.pop(trial_id, None)
        if known is not None and known.state is TrialState.RUNNING and trial_id not in self._reporting:
            self._seen[trial_id] = _ended(known, state, values, attributes, named, now)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Keeps a value of a trial on its way; others read it when the trial has ended."""
        self._reporting.add(trial_id)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    # --- reading ---

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """What samplers note about a study."""
        if not self._fast:
            return super().get_study_system_attrs(study_id)
        with self.engine.connect() as connection:
            rows = connection.execute(select(NOTES.c.key, NOTES.c.value_json).where(NOTES.c.study_id == study_id))
            return {key: json.loads(value) for key, value in rows}

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Trials that are new or were not finished; what has not changed since is not read again.

        What a trial reports on its way is read when it has ended: nothing asks earlier.
        """
        if states is not None or not self._fast:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        older = [number for number in included_trial_ids if number <= trial_id_greater_than]
        with self.engine.connect() as connection:
            rows = _rows_of(connection, study_id, older, trial_id_greater_than)
            changed = [row for row in rows if not self._is_known(row)]
            if changed:
                for start in range(0, len(changed), AT_ONCE):
                    self._seen.update(_read(connection, changed[start : start + AT_ONCE], self._seen))
        return [self._seen[row.trial_id] for row in rows]

    def _is_known(self, row: Found) -> bool:
        known = self._seen.get(row.trial_id)
        return known is not None and known.state is row.state


def _now() -> datetime:
    """The time as the tables have it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _local(moment: datetime | None) -> datetime | None:
    """A time of the tables as Optuna gives it: that of the place, without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


# --- writing rows ---


def _inserted(connection: Connection, study_id: int, template: FrozenTrial) -> FrozenTrial:
    """A new trial with the values of another, and a number of its own."""
    if connection.dialect.name != "sqlite":  # whose first row that is written locks everything
        connection.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update())
    runs = template.state is TrialState.RUNNING
    began = _now() if runs else None
    last = select(func.coalesce(func.max(TRIALS.c.number) + 1, 0)).where(TRIALS.c.study_id == study_id)
    row = {"study_id": study_id, "state": template.state, "number": last.scalar_subquery(), "datetime_start": began}
    made = connection.execute(insert(TRIALS).values(row).returning(TRIALS.c.trial_id, TRIALS.c.number)).one()
    trial_id, number = made
    given = template.params.items()
    if given:
        rows = [_param_row(trial_id, name, value, template.distributions[name]) for name, value in given]
        connection.execute(insert(PARAMS), rows)
    for table, attributes in ((USER, template.user_attrs), (SYSTEM, template.system_attrs)):
        if attributes:
            connection.execute(insert(table), _attribute_rows(trial_id, attributes))
    if runs:
        connection.execute(insert(HEARTBEATS), [{"trial_id": trial_id}])
    return FrozenTrial(
        number=number,
        state=template.state,
        value=None,
        datetime_start=_local(began),
        datetime_complete=None,
        params=dict(template.params),
        distributions=dict(template.distributions),
        user_attrs=dict(template.user_attrs),
        system_attrs=dict(template.system_attrs),
        intermediate_values={},
        trial_id=trial_id,
    )


def _ended(
    trial: FrozenTrial,
    state: TrialState,
    values: Sequence[float] | None,
    attributes: Mapping[str, Any],
    named: Mapping[str, float],
    now: datetime,
) -> FrozenTrial:
    """A trial as it reads when it has ended so."""
    return FrozenTrial(
        number=trial.number,
        state=state,
        value=None,
        values=None if values is None else list(values),
        datetime_start=trial.datetime_start,
        datetime_complete=_local(now),
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**trial.user_attrs, **attributes},
        system_attrs={**trial.system_attrs, **named},
        intermediate_values={},
        trial_id=trial._trial_id,
    )


def _param_row(trial_id: int, name: str, value: Any, distribution: BaseDistribution) -> dict[str, Any]:
    internal = distribution.to_internal_repr(value)
    text = _text_of(distribution)
    return {"trial_id": trial_id, "param_name": name, "param_value": internal, "distribution_json": text}


@lru_cache(maxsize=1024)
def _text_of(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)


def _attribute_rows(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _value_row(trial_id: int, objective: int, value: float) -> dict[str, Any]:
    stored, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}


# --- reading rows ---


def _rows_of(connection: Connection, study_id: int, older: list[int], after: int) -> list[Found]:
    """The rows of trials after one, and of some before it."""
    chosen = select(
        TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state, TRIALS.c.datetime_start, TRIALS.c.datetime_complete
    ).where(TRIALS.c.study_id == study_id)
    first = older[:AT_ONCE]
    wanted = TRIALS.c.trial_id > after
    rows: list[Found] = list(
        connection.execute(chosen.where(or_(wanted, TRIALS.c.trial_id.in_(first)) if first else wanted))
    )
    for start in range(AT_ONCE, len(older), AT_ONCE):
        part = older[start : start + AT_ONCE]
        rows += connection.execute(chosen.where(TRIALS.c.trial_id.in_(part)))
    return sorted(rows, key=lambda row: row.trial_id)


def _read(connection: Connection, rows: list[Found], seen: Mapping[int, FrozenTrial]) -> dict[int, FrozenTrial]:
    """The trials of some rows; the parameters of one that was seen stay as they are."""
    wanted = [row.trial_id for row in rows]
    unseen = [number for number in wanted if number not in seen]
    params = _grouped(connection, PARAMS, unseen, ("param_name", "param_value", "distribution_json"))
    values = _grouped(connection, VALUES, wanted, ("objective", "value", "value_type"))
    user = _grouped(connection, USER, wanted, ("key", "value_json"))
    system = _grouped(connection, SYSTEM, wanted, ("key", "value_json"))
    steps = _grouped(connection, STEPS, wanted, ("step", "intermediate_value", "intermediate_value_type"))
    found = {}
    for row in rows:
        number = row.trial_id
        known = seen.get(number)
        given = params.get(number, ())
        distributions = known.distributions if known else {name: _distribution_of(text) for name, _, text in given}
        external = known.params if known else {n: distributions[n].to_external_repr(value) for n, value, _ in given}
        found[number] = FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=_values(values.get(number)),
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params=dict(external),
            distributions=dict(distributions),
            user_attrs={key: json.loads(text) for key, text in user.get(number, ())},
            system_attrs={key: json.loads(text) for key, text in system.get(number, ())},
            intermediate_values={step: _step(value, kind) for step, value, kind in steps.get(number, ())},
            trial_id=number,
        )
    return found


def _grouped(
    connection: Connection, table: Table, wanted: list[int], names: Iterable[str]
) -> dict[int, list[tuple[Any, ...]]]:
    """Rows of a table, by trial, in the order they were written."""
    if not wanted:
        return {}
    columns = [table.c[name] for name in names]
    (key,) = table.primary_key.columns
    asked = select(table.c.trial_id, *columns).where(table.c.trial_id.in_(wanted)).order_by(key)
    found: dict[int, list[tuple[Any, ...]]] = {}
    for number, *row in connection.execute(asked):
        found.setdefault(number, []).append(tuple(row))
    return found


@lru_cache(maxsize=1024)
def _distribution_of(text: str) -> BaseDistribution:
    return json_to_distribution(text)


_step: Callable[[Any, Any], float] = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


def _values(rows: list[tuple[Any, ...]] | None) -> list[float] | None:
    if rows is None:
        return None
    return [models.TrialValueModel.stored_repr_to_value(value, kind) for _, value, kind in sorted(rows)]
