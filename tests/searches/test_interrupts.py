"""Ctrl-C that Python drops is raised again; the handler of a program stays."""

from __future__ import annotations

import signal
import threading

import pytest

from resnext_dsl.searches.interrupts import Interrupts


def test_an_interrupt_that_is_dropped_is_raised_later_and_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupts() as interrupts:
            interrupts.raise_dropped()  # nothing happened yet
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                interrupts.raise_dropped()
            interrupts.raise_dropped()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_of_the_program_stays() -> None:
    seen: list[int] = []

    def own(number: int, frame: object) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, own)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            interrupts.raise_dropped()
            assert signal.getsignal(signal.SIGINT) is own
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_another_thread_changes_no_handler() -> None:
    found: list[object] = []

    def search() -> None:
        with Interrupts() as interrupts:
            interrupts.raise_dropped()
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert found == [before]
