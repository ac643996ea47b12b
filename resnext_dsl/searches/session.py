"""The session of a process: the space, the evaluator and the storage of a search."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from resnext_dsl.budgets.limits import Limit
from resnext_dsl.devices.visible_gpus import gpus
from resnext_dsl.foundation.diagnostics import Diagnostic, error
from resnext_dsl.searches.constraints import check_devices, latencies
from resnext_dsl.searches.engine import engine_error
from resnext_dsl.searches.evaluator import Evaluator, evaluator_of
from resnext_dsl.searches.passwords import without_password
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.storage import close, open_storage, url_of
from resnext_dsl.searches.studies import Opened, open_study
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.spaces.space import Space

Announce = Callable[[str], None]
"""A function that gets the next step, for a user who waits."""


class Session:
    """The resources of a worker: the space, the evaluator and the storage.

    Attributes:
        space: The space to search, with the values that the evaluator needs.
        records: The trials in the storage.
        creator: The machine that created the study.
        notes: Facts about the study that a user should know: kept trials, an evaluator that has changed.
    """

    def __init__(
        self,
        plan: Plan,
        evaluator: Evaluator | None = None,
        patience: float = 0.0,
        announce: Announce = lambda step: None,
    ) -> None:
        """Opens the space and the storage; waits for a database for at most `patience` seconds.

        Raises:
            ArchError: If the plan is not valid, or the storage is not available.
        """
        self.plan = plan
        announce(f"reading {plan.spec} and the evaluator `{plan.evaluator}`")
        self.evaluator = evaluator_of(plan) if evaluator is None else evaluator
        space = plan.space()
        overrides = self.evaluator.overrides(space.network, plan.settings)
        self.space: Space = plan.space(overrides) if overrides else space
        self.space.screen(plan.budget or None)
        self.evaluator.check(self.space.network)
        self.timed_devices: list[str] = self._check_latencies() if plan.measure else []
        self.evaluator.check_metrics(self._wanted(), [limit.subject for limit in self._limits()])
        self.name = plan.study or self.space.network.name
        self.url = url_of(plan, self.space.network.name)
        announce(f"opening {without_password(self.url)}")
        is_checked = patience > 0 and plan.engine == "processes"  # a worker of this machine; its search has opened it
        self._storage = open_storage(self.url, plan.heartbeat, plan.grace, patience, is_checked)
        try:
            opened = open_study(self._storage, self.name, plan, self.space, self.evaluator.version)
        except BaseException:
            close(self._storage)
            raise
        self.records, self.creator = opened.records, opened.creator
        self.notes: list[str] = list(_notes(opened))

    def _wanted(self) -> list[str]:
        """The metrics that the objectives and the bounds need."""
        return [*self.plan.objectives, *(bound.metric for bound in self.plan.bounds)]

    def _limits(self) -> list[Limit]:
        """The limits of latencies that are timed."""
        return latencies(self.space.network, self.plan.budget) if self.plan.measure else []

    def _check_latencies(self) -> list[str]:
        """The devices of the latencies that the budgets limit."""
        network, plan = self.space.network, self.plan
        limits = latencies(network, plan.budget)
        if not limits:
            message = f"no budget of `{network.name}` limits a latency, so there is nothing to measure"
            raise error("E202", message, override_source("measure", "measure"))
        if plan.engine == "processes":  # the nodes of a cluster may have others
            check_devices(limits)
        return [dict(limit.arguments)["device"] for limit in limits]

    def check_here(self, seen: int) -> None:
        """Checks that this worker has the devices of its search, which sees `seen` GPUs.

        Raises:
            ArchError: E603 for a missing device of a latency; E724 if the worker would train on the CPU although the
                search sees a GPU.
        """
        if self.plan.measure:
            check_devices(latencies(self.space.network, self.plan.budget))
        if not seen or not self.evaluator.takes_any_device or sees_gpus():
            return
        count = "1 GPU" if seen == 1 else f"{seen} GPUs"
        on_ray = self.plan.engine == "ray"
        message = f"the search sees {count} and this worker cannot use any, so `device=auto` would train on the CPU"
        hint = (
            "give each trial one: `--resources gpu=1`"
            if on_ray
            else "look at CUDA_VISIBLE_DEVICES, and at torch's build"
        )
        raise engine_error(f"{message} ({hint}; to train on the CPU: `--choice device=cpu`)", hint)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        close(self._storage)


def _notes(opened: Opened) -> Iterator[str]:
    if opened.kept is not None:
        yield f"the domains have changed: all {opened.kept} trials are candidates of the new ones and are kept"
    if opened.versions > 1:
        message = f"the results of the study come from {opened.versions} versions of the evaluator"
        hint = "to compare results of one version only, start another study (`--study NAME`)"
        yield Diagnostic("W903", message, hint=hint, severity="warning", file="--evaluator").render()


def sees_gpus() -> bool:
    """Whether torch can use a GPU here; imports torch only if a GPU may be available."""
    if not gpus(os.environ):
        return False
    import torch

    return torch.cuda.is_available()
