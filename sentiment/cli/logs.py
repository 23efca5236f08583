"""What the package logs, as a command prints it."""

import contextlib
import logging
import sys

from tqdm.auto import tqdm

from sentiment.runtime.printable import printable


class _Printer(logging.Handler):
    """Prints messages above progress bars: warnings to stderr, others to stdout."""

    def emit(self, record):
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        tqdm.write(printable(self.format(record)), file=stream)


@contextlib.contextmanager
def printed_logs():
    """While this holds, messages of the package are printed, and nowhere else."""
    logger, printer = logging.getLogger("sentiment"), _Printer()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(printer)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(printer)
        logger.setLevel(level)
        logger.propagate = propagate
