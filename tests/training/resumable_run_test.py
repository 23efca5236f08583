import os
import signal

from sentiment.training.resumable_run import _Saver


def test_sigterm_after_the_last_save_is_not_lost():
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    try:
        saver = _Saver(run=None, every=1)
        with saver.asked_by_signal():
            os.kill(os.getpid(), signal.SIGTERM)
            assert saver.is_asked
            assert not received
        assert received
    finally:
        signal.signal(signal.SIGTERM, before)
