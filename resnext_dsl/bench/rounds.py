"""Times variants: prepares them, opens each in a process of its own, and lets them take turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from resnext_dsl.bench.result_table import LeftOut, Report, Timed
from resnext_dsl.bench.timing_processes import TimingProcess
from resnext_dsl.bench.variants import (
    BACKENDS,
    PEERS,
    BenchSubject,
    Conditions,
    Variant,
    backend_of,
    file_name,
    hold_conditions,
    layouts_of,
    misfit,
    untimed,
)
from resnext_dsl.devices.memory_format import has_groups, layout_of
from resnext_dsl.export.targets import EXTRA, hold_installed
from resnext_dsl.foundation.diagnostics import ArchError, error, nearest
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.networks.loading import load, load_with
from resnext_dsl.networks.network import Network
from resnext_dsl.operators.base import Shape

Progress = Callable[[str, int, int], None]
"""Is told what happens now, how many steps are done, and how many there are."""


def bench(
    spec: str,
    *,
    against: Sequence[str] = (),
    backends: Sequence[str] = ("eager",),
    forms: Sequence[str] = ("fastest",),
    settings: Mapping[str, str] | None = None,
    root: str | None = None,
    shape: Shape | None = None,
    conditions: Conditions | None = None,
    rounds: int = 10,
    seconds: float = 0.5,
    progress: Progress = lambda what, done, steps: None,
) -> Report:
    """Times a network beside others, on one or several backends.

    Args:
        spec: A path, or the name of a shipped spec.
        against: What it is held against: "torchvision" or "timm" for the network of its name there, else another spec.
        backends: Names of `BACKENDS`; "all" for those that are installed and can do what is asked.
        forms: The spellings of its splits to time.
        settings: Values for its parameters.
        root: The folder that imports stay under.
        shape: Another input for all of them, without batch.
        conditions: Device, type, batch, mode and threads.
        rounds: How often each variant has its turn.
        seconds: How long a turn lasts; it has at least three runs.
        progress: Called at each step.

    Returns:
        The times of each variant; those of one round belong together, so that a machine that drifts decides no ratio.

    Raises:
        ArchError: For a spec that is wrong; E605 for what is not installed, E606 for a peer that does not exist, E607
            for a variant that cannot be timed. No process is left, and no file.
    """
    asked = conditions or Conditions()
    hold_conditions(asked)
    chosen, left_out = _chosen(backends, asked)
    subjects = _subjects(spec, against, forms, settings or {}, root, shape)
    asked = asked._replace(layout=_layout(spec, asked, forms, settings or {}, root))
    turns = [
        Variant(subject, backend, layout)
        for backend in chosen
        for layout in layouts_of(backend, asked.layout)
        for subject in subjects
    ]
    steps = _Steps(progress, len(subjects) + len(turns) * (1 + rounds))
    with tempfile.TemporaryDirectory(prefix="resnext-dsl-bench-") as folder, ExitStack() as stack:
        folders = {subject: f"{folder}/{place}" for place, subject in enumerate(subjects)}
        failures: dict[Variant, ArchError] = {}
        for subject in subjects:
            asked, machine = _prepared(subject, chosen, asked, folders[subject], failures, steps)
        processes: dict[Variant, Open] = {}
        for variant in turns:
            if variant not in failures:
                _open(variant, asked, folders[variant.subject], stack, processes, failures, steps)
        if failures and ("all" not in backends or not processes):
            raise next(iter(failures.values()))
        times = _interleaved(processes, rounds, seconds, steps)
        timed = tuple(_timed(variant, processes[variant], *times[variant]) for variant in processes)
    left_out += [LeftOut(variant.label, problem.diagnostics[0].message) for variant, problem in failures.items()]
    return Report(asked, machine, timed, tuple(left_out))


def _layout(spec: str, asked: Conditions, forms: Sequence[str], settings: Mapping[str, str], root: str | None) -> str:
    """The layout of all variants: "auto" is what the spec's own network would have."""
    if asked.layout != "auto":
        return asked.layout
    network = load_with(spec, settings, root=root)
    grouped = asked.mode == "inference" and has_groups(network.rewrite(forms[0], asked.mode).graph)
    return layout_of("auto", asked.mode, asked.device, asked.dtype, grouped)


class Open(NamedTuple):
    """A variant that is open: its process, and the libraries that run it."""

    process: TimingProcess
    versions: dict[str, str]


class _Steps:
    """Counts steps for who watches."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def begin(self, what: str) -> None:
        self._progress(what, self._done, self._total)
        self._done += 1


def _chosen(names: Sequence[str], conditions: Conditions) -> tuple[list[str], list[LeftOut]]:
    """The backends to time; of "all", why some are left out."""
    if "all" not in names:
        for name in names:
            needs = backend_of(name).needs
            if reason := misfit(name, conditions):
                raise untimed(reason)
            for module in needs:
                hold_installed(module, f"the backend `{name}` needs it", EXTRA)
        return list(dict.fromkeys(names)), []
    reasons = {name: misfit(name, conditions) or _missing(name) for name in BACKENDS}
    left_out = [LeftOut(name, reason) for name, reason in reasons.items() if reason]
    return [name for name, reason in reasons.items() if not reason], left_out


def _missing(name: str) -> str:
    missing = [module for module in BACKENDS[name].needs if find_spec(module) is None]
    return f"not installed ({', '.join(missing)}): {EXTRA}" if missing else ""


def _subjects(
    spec: str,
    against: Sequence[str],
    forms: Sequence[str],
    settings: Mapping[str, str],
    root: str | None,
    shape: Shape | None,
) -> list[BenchSubject]:
    """What is timed, peers first; every spec is right."""
    network = load_with(spec, settings, root=root)
    network = network.at(shape or network.ir.nodes[0].shape)
    taken = network.ir.nodes[0].shape
    subjects = []
    for name in against:
        if name in PEERS:
            hold_installed(name, f"`--against {name}` needs it", f"pip install {name}")
            subjects.append(BenchSubject(name, network.name, taken, peer=True))
        else:
            other = _other(name, shape)
            subjects.append(BenchSubject("", other.name, other.ir.nodes[0].shape, name, peer=True))
    fixed = tuple(settings.items())
    subjects += [BenchSubject("", network.name, taken, spec, fixed, root, form) for form in forms]
    return list(dict.fromkeys(subjects))


def _other(name: str, shape: Shape | None) -> Network:
    try:
        network = load(name)
    except ArchError as problem:
        first, near = problem.diagnostics[0], nearest(name, PEERS)
        raise (
            error(first.code, first.message, file=name, hint=f"did you mean `{near}`?") if near else problem
        ) from None
    return network.at(shape) if shape else network


def _prepared(
    subject: BenchSubject,
    backends: Sequence[str],
    conditions: Conditions,
    folder: str,
    failures: dict[Variant, ArchError],
    steps: _Steps,
) -> tuple[Conditions, dict[str, str]]:
    """Has weights and files of a subject made; the conditions with the number of threads, and the machine."""
    steps.begin(f"preparing {subject.label}")
    Path(folder).mkdir()
    files = [backend for backend in backends if BACKENDS[backend].target]
    with TimingProcess(subject.label, conditions.threads) as process:
        fields = {"subject": subject._asdict(), "conditions": conditions._asdict()}
        made = process.ask("prepare", **fields, backends=files, folder=folder)
    for backend in files:
        for layout in layouts_of(backend, conditions.layout):
            reason, variant = made["failures"].get(file_name(backend, layout)), Variant(subject, backend, layout)
            if reason:
                failures[variant] = untimed(f"{variant.label}: {reason}")
    return conditions._replace(threads=made["threads"]), made["machine"]


def _open(
    variant: Variant,
    conditions: Conditions,
    folder: str,
    stack: ExitStack,
    processes: dict[Variant, Open],
    failures: dict[Variant, ArchError],
    steps: _Steps,
) -> None:
    """Starts the process of a variant, which is stopped until its first turn."""
    steps.begin(f"opening {variant.label}")
    process = stack.enter_context(TimingProcess(variant.label, conditions.threads))
    asked = conditions._replace(layout=variant.layout or "auto")
    fields = {"subject": variant.subject._asdict(), "conditions": asked._asdict()}
    try:
        made = process.ask("open", **fields, backend=variant.backend, folder=folder)
    except ArchError as problem:
        failures[variant] = problem
        process.close()
        return
    process.stop()
    processes[variant] = Open(process, made["versions"])


def _interleaved(
    processes: Mapping[Variant, Open], rounds: int, seconds: float, steps: _Steps
) -> dict[Variant, tuple[list[list[float]], list[float]]]:
    """The times of each variant in each round, and those in a queue; each round begins with another one."""
    times: dict[Variant, tuple[list[list[float]], list[float]]] = {variant: ([], []) for variant in processes}
    order = list(processes)
    for place in range(rounds):
        first = place % len(order)
        for variant in order[first:] + order[:first]:
            steps.begin(f"round {place + 1} of {rounds}: {variant.label}")
            process = processes[variant].process
            process.go_on()
            made = process.ask("run", seconds=seconds, least=3)
            times[variant][0].append(made["times"])
            if made["queued"] is not None:
                times[variant][1].append(made["queued"])
            process.stop()
    return times


def _timed(variant: Variant, opened: Open, times: list[list[float]], queued: list[float]) -> Timed:
    opened.process.go_on()
    peak = opened.process.ask("peak")["bytes"]
    return Timed(variant, tuple(map(tuple, times)), peak, opened.versions, tuple(queued))
