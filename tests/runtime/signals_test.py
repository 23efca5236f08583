import signal
import threading

import pytest

from sentiment.runtime.signals import HeldSignal


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    return request.param


@pytest.fixture
def answered(number):
    """How often the handler that was there before has been called."""
    calls = []
    before = signal.signal(number, lambda *_: calls.append(number))
    yield calls
    signal.signal(number, before)


def test_a_signal_is_answered_when_it_suits(number, answered):
    with HeldSignal(number) as held:
        assert not held.is_received
        signal.raise_signal(number)
        assert held.is_received
        assert answered == []
    assert answered == [number]


def test_without_a_signal_nothing_is_answered(number, answered):
    with HeldSignal(number):
        pass
    assert answered == []
    signal.raise_signal(number)
    assert answered == [number]


def test_several_are_answered_as_one(number, answered):
    with HeldSignal(number):
        signal.raise_signal(number)
        signal.raise_signal(number)
    assert answered == [number]


def test_a_signal_is_not_lost_to_an_error(number, answered):
    with pytest.raises(ValueError, match="a defect"), HeldSignal(number):
        signal.raise_signal(number)
        raise ValueError("a defect")
    assert answered == [number]


@pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt])
def test_a_process_that_leaves_is_not_asked_again(number, answered, leaving):
    with pytest.raises(leaving), HeldSignal(number):
        signal.raise_signal(number)
        raise leaving
    assert answered == []


def test_a_signal_that_is_ignored_stays_ignored(number, answered):
    """A shell that starts a process in the background lets it ignore SIGINT."""
    signal.signal(number, signal.SIG_IGN)
    with HeldSignal(number) as held:
        signal.raise_signal(number)
        assert held.is_received
    assert signal.getsignal(number) is signal.SIG_IGN
    assert answered == []


def test_another_thread_leaves_signals_alone(number, answered):
    def hold():
        with HeldSignal(number) as held:
            states.append((signal.getsignal(number), held.is_received))

    states, handler = [], signal.getsignal(number)
    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert states == [(handler, False)]
