import multiprocessing
import threading
import warnings

import pytest

import sentiment
from sentiment.errors import InputError
from sentiment.runtime.threads import (
    BUILDING,
    check_not_forked,
    one_thread_at_a_time,
)
from tests.conftest import call_fresh

FORK = multiprocessing.get_context("fork")


def test_functions_that_build_take_turns():
    inside, most, together = [], [], threading.Barrier(4)

    @one_thread_at_a_time
    def build(depth=0):
        """Builds."""
        if depth < 2:
            return build(depth + 1)  # by the same thread
        inside.append(None)
        most.append(len(inside))
        threading.Event().wait(0.01)  # Others would come in.
        inside.pop()

    def run():
        together.wait()
        build()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    assert build.__doc__ == "Builds."


def say(queue, act):
    try:
        act()
        queue.put("done")
    except InputError as error:
        queue.put(str(error))


def said_by_a_fork(act):
    queue = FORK.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX and Python warn of forks
        process = FORK.Process(target=say, args=(queue, act))
        process.start()
    process.join(120)
    is_late = process.is_alive()
    process.kill()
    assert not is_late, "the fork hangs"
    return queue.get()


def test_a_fork_of_a_process_that_has_computed_is_refused(make_classifier):
    classifier = make_classifier()
    classifier.predict(["a"])
    for act in (
        lambda: classifier.predict(["a"]),
        lambda: classifier.evaluate(["a"], [0]),
        lambda: sentiment.load_classifier("imdb_mini_sentiment"),
    ):
        assert 'Start processes by "spawn"' in said_by_a_fork(act)
    check_not_forked()  # This process itself may.


def predict_in_a_fork():
    """In a process that has imported everything and computed nothing yet."""

    def act():
        assert sentiment.load_classifier("imdb_mini_sentiment").predict(["a"]).any()

    BUILDING.acquire()  # Another thread's, which the fork is without.
    print(said_by_a_fork(act))


def test_a_fork_of_one_that_has_not_may_go_on():
    assert call_fresh(predict_in_a_fork).splitlines()[-1] == "done"


@pytest.mark.parametrize("name", ["from_preset", "from_config", "__init__"])
def test_classifiers_are_built_by_one_thread_at_a_time(name):
    method = getattr(sentiment.PackedTextClassifier, name)
    assert hasattr(getattr(method, "__func__", method), "__wrapped__")
