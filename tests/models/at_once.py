"""A classifier in many threads at once, and interrupted at random moments."""

import random
import signal
import threading

import numpy as np

from tests.conftest import TOY_TEXTS

# Of several lengths, so that several programs are compiled.
TEXTS = [*TOY_TEXTS, *(text * 4 for text in TOY_TEXTS)]
LABELS = [i % 2 for i in range(len(TEXTS))]


def check_threads(classifier, expected, calls, num_threads=8):
    """Predicts and evaluates in threads; compares with what one thread got.

    Args:
        classifier: whose programs may not be compiled yet.
        expected: probabilities of `TEXTS`.
        calls: in all.
        num_threads: that make them.
    """
    scores = []  # of evaluations, the first by whichever thread comes first
    wrong, together = [], threading.Barrier(num_threads)

    def run(seed):
        draw = random.Random(seed)
        together.wait()
        for _ in range(calls // num_threads):
            chosen = draw.sample(range(len(TEXTS)), draw.randint(1, len(TEXTS)))
            try:
                if draw.random() < 0.1:
                    scores.append(classifier.evaluate(TEXTS, LABELS, verbose=0))
                    np.testing.assert_allclose(scores[-1], scores[0], atol=1e-6)
                    continue
                found = classifier.predict([TEXTS[i] for i in chosen], verbose=0)
                np.testing.assert_allclose(found, expected[chosen], atol=1e-6)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def interrupt_after(seconds, call):
    """Raises `KeyboardInterrupt` inside a call after so long, and hides it.

    Also where JAX makes a `ValueError` of it, as inside of a comparison.
    """
    is_interrupted = threading.Event()

    def interrupt(*_):
        is_interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException:
        if not is_interrupted.is_set():
            raise
    finally:
        signal.signal(signal.SIGALRM, before)


def check_interruptions(classifier, expected, times):
    """Interrupts calls at random moments; compares what comes after each.

    Args:
        classifier: any; half of the time its programs are compiled anew.
        expected: probabilities of `TEXTS`.
        times: interruptions.
    """

    def call():
        for _ in range(20):
            classifier.predict(TEXTS, verbose=0)
            classifier.evaluate(TEXTS, LABELS, verbose=0)

    draw = random.Random(0)
    for i in range(times):
        if i % 2:
            classifier.speed = classifier.speed  # forgets what was compiled
        interrupt_after(draw.uniform(1e-4, 0.3 if i % 2 else 0.01), call)
        found = classifier.predict(TEXTS, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-6)
