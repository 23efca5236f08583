import io
import logging

import pytest
from tqdm.auto import tqdm

from sentiment.cli.logs import printed_logs

logger = logging.getLogger("sentiment.some.module")


def test_messages_are_printed_plainly_and_warnings_to_stderr(capsys):
    with printed_logs():
        logger.debug("unseen")
        logger.info("100% of it")
        logger.warning("but %s", "this")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("100% of it\n", "but this\n")


def test_nothing_stays_behind_and_others_are_not_printed(capsys):
    ours = logging.getLogger("sentiment")
    before = ours.level, ours.propagate, list(ours.handlers)
    with pytest.raises(KeyboardInterrupt), printed_logs():
        logging.getLogger("another").error("not ours")
        raise KeyboardInterrupt
    logger.info("too late")
    assert (ours.level, ours.propagate, list(ours.handlers)) == before
    assert capsys.readouterr().out == ""


def test_a_root_handler_does_not_repeat_what_is_printed(capsys):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with printed_logs():
            logger.warning("once")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err == "once\n"
    assert stream.getvalue() == ""


def test_a_message_stands_above_a_progress_bar(capsys):
    with printed_logs(), tqdm(total=2, desc="Bar") as bar:
        bar.update(1)
        logger.warning("between")
    shown = capsys.readouterr().err
    before, after = shown.split("between\n")
    assert before.endswith("\r")  # the bar's line was cleared
    assert "Bar" in after  # and is drawn again
