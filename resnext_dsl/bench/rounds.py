"""Times variants: prepares them, opens each in a process of its own, and runs them in turns."""

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
    check_conditions,
    file_name,
    layouts_of,
    misfit,
    untimed,
)
from resnext_dsl.devices.memory_format import groups_of, layout_of
from resnext_dsl.export.targets import EXTRA, require_installed
from resnext_dsl.foundation.diagnostics import ArchError, error, nearest
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.networks.loading import load, load_with
from resnext_dsl.networks.network import Network
from resnext_dsl.operators.base import Shape

Progress = Callable[[str, int, int], None]
"""Takes the name of the current step, the number of finished steps, and the number of all steps."""


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
        against: Its peers: "torchvision" or "timm" for the network of its name there, else another spec.
        backends: Names of `BACKENDS`; "all" for those that are installed and support the conditions.
        forms: The forms of its splits to time.
        settings: Values for its parameters.
        root: The folder that imports stay under.
        shape: Another input shape for all networks, without batch.
        conditions: Device, type, batch, mode, threads and layout.
        rounds: Turns of each variant.
        seconds: Duration of a turn; it has at least three runs.
        progress: Called at each step.

    Returns:
        The times of each variant. Ratios compare times of one round, so that a machine that drifts changes no ratio.

    Raises:
        ArchError: If the spec is wrong; E605 if a library is not installed, E606 if a peer does not exist, E607 if a
            variant cannot be timed. No process and no file remains.
    """
    shared = conditions or Conditions()
    check_conditions(shared)
    chosen, left_out = _chosen(backends, shared)
    subjects = _subjects(spec, against, forms, settings or {}, root, shape)
    shared = shared._replace(layout=_layout(spec, shared, forms, settings or {}, root))
    turns = [
        Variant(subject, backend, layout)
        for backend in chosen
        for layout in layouts_of(backend, shared.layout)
        for subject in subjects
    ]
    steps = _Steps(progress, len(subjects) + len(turns) * (1 + rounds))
    with tempfile.TemporaryDirectory(prefix="resnext-dsl-bench-") as folder, ExitStack() as stack:
        folders = {subject: f"{folder}/{place}" for place, subject in enumerate(subjects)}
        failures: dict[Variant, ArchError] = {}
        for subject in subjects:
            shared, machine = _prepared(subject, chosen, shared, folders[subject], failures, steps)
        processes: dict[Variant, Open] = {}
        for variant in turns:
            if variant not in failures:
                _open(variant, shared, folders[variant.subject], stack, processes, failures, steps)
        if failures and ("all" not in backends or not processes):
            raise next(iter(failures.values()))
        times = _interleaved(processes, rounds, seconds, steps)
        timed = tuple(_timed(variant, processes[variant], *times[variant]) for variant in processes)
    left_out += [LeftOut(variant.label, problem.diagnostics[0].message) for variant, problem in failures.items()]
    return Report(shared, machine, timed, tuple(left_out))


def _layout(spec: str, shared: Conditions, forms: Sequence[str], settings: Mapping[str, str], root: str | None) -> str:
    """The layout of all variants; "auto" is the layout that the spec's network has by default."""
    if shared.layout != "auto":
        return shared.layout
    network = load_with(spec, settings, root=root)
    groups = groups_of(network.rewrite(forms[0], shared.mode).graph)
    return layout_of("auto", shared.mode, shared.device, shared.dtype, groups)


class Open(NamedTuple):
    """A variant that is open: its process, and the versions of the libraries that run it."""

    process: TimingProcess
    versions: dict[str, str]


class _Steps:
    """Counts the steps for `Progress`."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def begin(self, what: str) -> None:
        self._progress(what, self._done, self._total)
        self._done += 1


def _chosen(names: Sequence[str], conditions: Conditions) -> tuple[list[str], list[LeftOut]]:
    """The backends to time, and for "all" the reasons why some are left out."""
    if "all" not in names:
        for name in names:
            needs = backend_of(name).needs
            if reason := misfit(name, conditions):
                raise untimed(reason)
            for module in needs:
                require_installed(module, f"the backend `{name}` needs it", EXTRA)
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
    """The networks to time, peers first; every spec is valid."""
    network = load_with(spec, settings, root=root)
    network = network.at(shape or network.ir.nodes[0].shape)
    input_shape = network.ir.nodes[0].shape
    subjects = []
    for name in against:
        if name in PEERS:
            require_installed(name, f"`--against {name}` needs it", f"pip install {name}")
            subjects.append(BenchSubject(name, network.name, input_shape, peer=True))
        else:
            other = _other(name, shape)
            subjects.append(BenchSubject("", other.name, other.ir.nodes[0].shape, name, peer=True))
    fixed = tuple(settings.items())
    subjects += [BenchSubject("", network.name, input_shape, spec, fixed, root, form) for form in forms]
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
    """Prepares weights and files of a subject; gives the conditions with the number of threads, and the machine."""
    steps.begin(f"preparing {subject.label}")
    Path(folder).mkdir()
    files = [backend for backend in backends if BACKENDS[backend].target]
    with TimingProcess(subject.label, conditions.threads) as process:
        fields = {"subject": subject._asdict(), "conditions": conditions._asdict()}
        answer = process.ask("prepare", **fields, backends=files, folder=folder)
    for backend in files:
        for layout in layouts_of(backend, conditions.layout):
            reason, variant = answer["failures"].get(file_name(backend, layout)), Variant(subject, backend, layout)
            if reason:
                failures[variant] = untimed(f"{variant.label}: {reason}")
    return conditions._replace(threads=answer["threads"]), answer["machine"]


def _open(
    variant: Variant,
    conditions: Conditions,
    folder: str,
    stack: ExitStack,
    processes: dict[Variant, Open],
    failures: dict[Variant, ArchError],
    steps: _Steps,
) -> None:
    """Starts the process of a variant, and suspends it until its first turn."""
    steps.begin(f"opening {variant.label}")
    process = stack.enter_context(TimingProcess(variant.label, conditions.threads))
    shared = conditions._replace(layout=variant.layout or "auto")
    fields = {"subject": variant.subject._asdict(), "conditions": shared._asdict()}
    try:
        answer = process.ask("open", **fields, backend=variant.backend, folder=folder)
    except ArchError as problem:
        failures[variant] = problem
        process.close()
        return
    process.suspend()
    processes[variant] = Open(process, answer["versions"])


def _interleaved(
    processes: Mapping[Variant, Open], rounds: int, seconds: float, steps: _Steps
) -> dict[Variant, tuple[list[list[float]], list[float]]]:
    """The times of each variant in each round, and of its queued runs; each round begins with another variant."""
    times: dict[Variant, tuple[list[list[float]], list[float]]] = {variant: ([], []) for variant in processes}
    order = list(processes)
    for place in range(rounds):
        first = place % len(order)
        for variant in order[first:] + order[:first]:
            steps.begin(f"round {place + 1} of {rounds}: {variant.label}")
            process = processes[variant].process
            process.resume()
            answer = process.ask("run", seconds=seconds, least=3)
            times[variant][0].append(answer["times"])
            if answer["queued"] is not None:
                times[variant][1].append(answer["queued"])
            process.suspend()
    return times


def _timed(variant: Variant, opened: Open, times: list[list[float]], queued: list[float]) -> Timed:
    opened.process.resume()
    peak = opened.process.ask("peak")["bytes"]
    return Timed(variant, tuple(map(tuple, times)), peak, opened.versions, tuple(queued))
