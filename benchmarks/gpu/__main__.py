"""The command line: `python -m benchmarks.gpu truth|tax|kernels|table|pack`."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu.plan import COMMANDS, DRY_FACTOR, PRELOADED, SECONDS, chosen
from benchmarks.gpu.record import Record, counts, of_kind, read

RESULTS = Path(__file__).with_name("results")
EXAMPLES = """
examples:
  python -m benchmarks.gpu truth                  checks on this machine's GPU, 5 minutes
  python -m benchmarks.gpu tax -o tax.jsonl       times, 5 minutes
  python -m benchmarks.gpu kernels                our kernels for grouped convolutions, 5 minutes
  python -m benchmarks.gpu truth --dry            the same code on the CPU, tiny sizes
  python -m benchmarks.gpu table tax.jsonl        the Markdown of a result file
  python -m benchmarks.gpu pack -o gpu.tar.gz     an archive for a machine with torch and numpy only
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit status: 0, 1 if a line is not ok, 2 if the command or the machine is wrong.
    """
    asked = _parser().parse_args(arguments)
    try:
        if asked.command in COMMANDS:
            return _run(asked)
        if asked.command == "table":
            from benchmarks.gpu.table import tables

            print(tables(read(asked.file)))
            return 0
        from benchmarks.gpu.pack import pack

        print(pack(asked.output, asked.python))
    except (OSError, ValueError) as problem:
        print(f"benchmarks.gpu: {problem}", file=sys.stderr)
        return 2
    return 0


def _run(asked: argparse.Namespace) -> int:
    from benchmarks.gpu.supervise import Supervisor

    parts = chosen(asked.command, asked.only, asked.dry)
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="benchmarks-gpu-") as scratch:
        folder = Path(scratch)
        default = folder if asked.dry else RESULTS
        path = asked.output or default / f"{asked.command}-{began:%Y%m%d-%H%M%S}.jsonl"
        if path.suffix != ".jsonl":
            raise ValueError(f"the result file must end in `.jsonl`; found `{path}`")
        seconds = asked.seconds or SECONDS[asked.command] * (DRY_FACTOR if asked.dry else 1.0)
        supervisor = Supervisor(Record(path), parts, seconds, asked.dry, folder, PRELOADED[asked.command])
        header = {
            "kind": "header",
            "command": asked.command,
            "dry": asked.dry,
            "began": began.isoformat(timespec="seconds"),
        }
        status = supervisor.run(header)
        _keep_log(folder / "worker.log", asked.output)
        if path.exists():
            kept = "dry run: no figures are kept" if asked.dry else f"{path}, {path.with_suffix('.md')}"
            print(f"{counts(of_kind(read(path), 'line'))}; {kept}")
    return status


def _keep_log(log: Path, output: Path | None) -> None:
    """Keeps what the workers wrote to standard error beside a result file that was asked for."""
    if output is not None and log.exists() and log.stat().st_size:
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
        output.with_suffix(".log").write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Checks and measurements of compiled networks on a GPU.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("truth", "check that networks are right on CUDA"),
        ("tax", "time grouped convolutions"),
        ("kernels", "check and time our kernels"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--dry", action="store_true", help="on the CPU, with tiny sizes; keeps no figures")
        command.add_argument("--seconds", type=_positive, help=f"time of the whole command ({SECONDS[name]:g})")
        command.add_argument("--only", action="append", default=[], metavar="PART", help="run this part; repeatable")
        command.add_argument("-o", "--output", type=Path, metavar="FILE.jsonl", help="where results are appended")
    table = commands.add_parser("table", help="print the Markdown of a result file")
    table.add_argument("file", type=Path)
    pack = commands.add_parser("pack", help="make an archive for a machine that has torch and numpy only")
    pack.add_argument("-o", "--output", type=Path, default=Path("build/gpu.tar.gz"))
    pack.add_argument("--python", action="append", default=[], metavar="3.N", help="a Python there; 3.12 and 3.11")
    return parser


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number; found {text}")
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
