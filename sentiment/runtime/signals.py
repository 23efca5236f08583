"""Signals that may come when they suit and are answered when it suits."""

import signal
import threading


class HeldSignal:
    """Keeps a signal while this holds, and sends it to the process again afterwards.

    So the handler that was there before, or the system, answers it then. It is not sent
    again where the process is leaving already, by `SystemExit` or `KeyboardInterrupt`.
    In any thread but the main one this does nothing, for signals are the main thread's.

    Args:
        number: of the signal.

    Attributes:
        is_received: whether it has come.
    """

    def __init__(self, number: signal.Signals):
        self.number, self.is_received = number, False

    def __enter__(self) -> "HeldSignal":
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._before = signal.signal(self.number, self._receive)
        return self

    def __exit__(self, kind, *_):
        if not self._is_main:
            return
        signal.signal(self.number, self._before)
        is_leaving = kind is not None and not issubclass(kind, Exception)
        if self.is_received and not is_leaving:
            signal.raise_signal(self.number)

    def _receive(self, *_):
        self.is_received = True
