"""A process that has imported the libraries, and forks a process for each request: a run pays for its imports once.

In the first run on a GPU, the part `digits` took 20.5 s for two epochs of 0.5 s: the rest was the start of one process,
and most checks start such processes. The server imports `plan.PRELOADED`, makes no CUDA context, and forks. A forked
process has its own output, folder and environment, and makes a CUDA context of its own.

    python -m benchmarks.gpu.fork_server SOCKET MODULE...    serves on a Unix socket until its parent ends

A client sends one JSON line with two open files, for standard output and standard error of the new process. It reads
two lines: `{"pid": ...}` and `{"status": ...}`, a negative number for a signal. If the client closes its connection
before, the server ends the process and all processes of its session. A request:

    {"module": "benchmarks.gpu.command", "arguments": ["check", "resnet50"], "folder": "/tmp", "variables": {}}
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, Protocol

from benchmarks.gpu.worker import end_with_parent

SOCKET = "RESNEXT_DSL_GPU_FORK_SERVER"
"""The environment variable that holds the path of the server's socket."""


class Process(Protocol):
    """A process that runs `main` of a module."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, or the number of a signal as a negative number; None while it runs."""

    def wait(self) -> int:
        """Waits for its end; the exit status as for `poll`."""


class ForkedProcess:
    """A process that the server has forked, as its client sees it.

    Args:
        server: The path of the server's socket.
        request: The request.
        output: An open file for standard output.
        errors: An open file for standard error.
    """

    def __init__(self, server: str, request: dict[str, Any], output: int, errors: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._read, self._status = b"", None
        try:
            self._socket.connect(server)
            line = (json.dumps(request) + "\n").encode()
            socket.send_fds(self._socket, [line[:1]], [output, errors])
            self._socket.sendall(line[1:])
            self.pid = int(self._answer("pid"))
        except BaseException:
            self._socket.close()
            raise

    def poll(self) -> int | None:
        """As `Process.poll`."""
        if self._status is None and select.select([self._socket], [], [], 0)[0]:
            self.wait()
        return self._status

    def wait(self) -> int:
        """As `Process.wait`."""
        if self._status is None:
            try:
                self._status = int(self._answer("status"))
            except (OSError, EOFError):  # its processes end with the server
                self._status = -signal.SIGKILL
            self._socket.close()
        return self._status

    def _answer(self, name: str) -> Any:
        while b"\n" not in self._read:
            more = self._socket.recv(4096)
            if not more:
                raise EOFError("the fork server has ended")
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)[name]


def start(
    module: str,
    arguments: Sequence[str],
    *,
    output: int,
    errors: int,
    folder: Path,
    variables: Mapping[str, str],
    server: str | None,
) -> Process:
    """Starts a process that runs `main(arguments)` of a module, in a session of its own.

    Args:
        module: The module.
        arguments: Its arguments.
        output: An open file for its standard output.
        errors: An open file for its standard error.
        folder: Its working folder.
        variables: Its environment variables, besides those of the server or of this process.
        server: The path of a fork server's socket; if it is None or the server has ended, an interpreter starts.
    """
    if server is not None:
        request = {"module": module, "arguments": list(arguments), "folder": str(folder), "variables": dict(variables)}
        with contextlib.suppress(OSError, EOFError):
            return ForkedProcess(server, request, output, errors)
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        env={**os.environ, **variables},
        start_new_session=True,
    )


def end(process: Process) -> None:
    """Kills a process with its session, and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class ForkServer:
    """The server of a run, as a context manager; its exit ends the server and every process that it has forked.

    Attributes:
        socket: The path of its socket; None if it did not come up in its time.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], errors: int, modules: Sequence[str], seconds: float
    ) -> None:
        path = folder / "fork-server"
        command = [sys.executable, "-m", "benchmarks.gpu.fork_server", str(path), *modules]
        self._process = subprocess.Popen(command, env=environment, stdout=errors, stderr=errors, start_new_session=True)
        ends = time.monotonic() + seconds
        while not path.exists() and self._process.poll() is None and time.monotonic() < ends:
            time.sleep(0.02)
        self.socket = str(path) if path.exists() else None

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def main(arguments: Sequence[str]) -> None:
    """Imports, listens and serves."""
    end_with_parent()
    path, *modules = arguments
    for name in modules:
        with contextlib.suppress(Exception):  # a broken library raises errors of any kind
            import_module(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{path}.new")
    listener.listen(64)
    os.rename(f"{path}.new", path)
    _Loop(listener).serve()


class _Loop:
    """The loop of the server: requests, processes that ended, clients that went away."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._clients: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._wakes = os.pipe()
        for side in self._wakes:
            os.set_blocking(side, False)
        self._selector.register(self._wakes[0], selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes[1], warn_on_full_buffer=False)

    def serve(self) -> NoReturn:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._fork(self._listener.accept()[0])
                elif key.fileobj == self._wakes[0]:
                    os.read(self._wakes[0], 4096)
                elif key.data in self._clients:
                    self._end(key.data)
            self._reap()

    def _fork(self, client: socket.socket) -> None:
        head, files, _, _ = socket.recv_fds(client, 1, 2)
        with client.makefile("rb") as rest:
            text = head + rest.readline()
        if len(files) == 2 and text.endswith(b"\n"):  # else the client went away
            pid = os.fork()
            if pid == 0:
                self._close()
                _become(json.loads(text), files)
            self._clients[pid] = client
            self._selector.register(client, selectors.EVENT_READ, pid)
            _tell(client, {"pid": pid})
        for file in files:
            os.close(file)

    def _close(self) -> None:
        """Closes the server's files in a forked process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        for client in self._clients.values():
            client.close()
        for side in self._wakes:
            os.close(side)

    def _end(self, pid: int) -> None:
        """Ends a process with its session: its client sends nothing after the request, so it closed the connection."""
        client = self._clients.pop(pid)
        self._selector.unregister(client)
        client.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                client = self._clients.pop(pid, None)
                if client is not None:
                    self._selector.unregister(client)
                    _tell(client, {"status": os.waitstatus_to_exitcode(status)})
                    client.close()


def _tell(client: socket.socket, answer: dict[str, int]) -> None:
    with contextlib.suppress(OSError):  # the client may have gone
        client.sendall((json.dumps(answer) + "\n").encode())


def _become(request: dict[str, Any], files: Sequence[int]) -> NoReturn:
    """Runs `main` of a module in this forked process, and ends it."""
    status = 1
    try:
        os.setsid()
        end_with_parent()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, file in enumerate((nothing, *files)):
            os.dup2(file, number)
            os.close(file)
        os.chdir(request["folder"])
        os.environ.update(request["variables"])
        import_module(request["module"]).main(request["arguments"])
        status = 0
    except SystemExit as ended:
        status = _status_of(ended.code)
    except BaseException:  # whatever was raised, the process ends here
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)


def _status_of(code: object) -> int:
    """The exit status that an interpreter gives for `SystemExit(code)`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main(sys.argv[1:])
