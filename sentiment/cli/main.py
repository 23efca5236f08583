"""The command line: `sentiment COMMAND --flag=value ...`.

A command is a module in `commands/`: its docstring is its help, `CONFIG` the class
whose settings are its flags, and `run` does it. Nothing heavy is imported before the
flags have been read and checked.
"""

import contextlib
import dataclasses
import difflib
import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Container
from types import ModuleType
from typing import Any

from sentiment import __version__
from sentiment.cli.flags import HelpAsked, help_text, parse_flags, sections
from sentiment.errors import InputError, is_out_of_memory
from sentiment.runtime.extras import how_to_install
from sentiment.runtime.printable import printable

# To add a command, write a module of its name in commands/ and name it here.
COMMANDS = (
    "train",
    "predict",
    "evaluate",
    "behave",
    "pretrain",
    "two_stage",
    "tune",
    "gather",
    "baseline",
    "compare",
    "compress",
    "bundle",
    "doctor",
    "configs",
    "completion",
)
# Where modules come from that not every installation has.
EXTRAS = {
    "array_record": "train",
    "filelock": "train",
    "matplotlib": "train",
    "optax": "train",
    "optuna": "tune",
    "orbax": "train",
    "sklearn": "train",
    "sqlalchemy": "tune",
    "tensorflow_datasets": "train",
}
# Of a disk, of a person's share of it, of a file, of a medium.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
EXIT_FAILURE, EXIT_INPUT_ERROR, EXIT_INTERRUPTED = 1, 2, 130


def command_module(name: str) -> ModuleType:
    """The module of a command.

    Raises:
        InputError: there is no such command.
    """
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise InputError(
            f"There is no command {name!r}. {hint}There are: {', '.join(listed())}."
        )
    return importlib.import_module(f"sentiment.cli.commands.{name}")


def parse(name: str, arguments: list[str]) -> Any:
    """What the command line of a command asks for, as a config object.

    Raises:
        HelpAsked: `--help` was given.
        InputError: there is no such command, a flag is unknown or a value wrong.
    """
    command = command_module(name)
    if hasattr(command, "parse"):  # It takes more than flags.
        return command.parse(arguments)
    return parse_flags(command.CONFIG, arguments)


def main(arguments: list[str] | None = None):
    """Runs one command; a user's mistake gets a message and no traceback.

    Exits with status 2 for an `InputError`, with 130 when interrupted.

    Args:
        arguments: name of the command and its flags; by default those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _settle_streams()
    try:
        _main(arguments)
        sys.stdout.flush()
    except InputError as error:
        _fail(f"error: {error}", EXIT_INPUT_ERROR)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        extra = getattr(command_module(arguments[0]), "EXTRA", extra)
        _fail(
            f"error: This command needs {error.name}, which is not installed: "
            f"{how_to_install(extra)}",
            EXIT_INPUT_ERROR,
        )
    except KeyboardInterrupt:
        _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:  # Whoever read the output has seen enough.
        _drop_output()
        sys.exit(EXIT_FAILURE)
    except Exception as error:
        if getattr(error, "errno", None) in NO_ROOM:
            _fail(f"error: what comes out cannot be written: {error}", EXIT_FAILURE)
        if "RuntimeProgramInputMismatch" in str(error):
            _fail(
                "error: a compiled program does not fit the model that it is kept for "
                f"({error}). The cache of compiled programs is damaged: delete its "
                "folder xla-* in --cache_dir.",
                EXIT_FAILURE,
            )
        if not is_out_of_memory(error):
            raise
        traceback.print_exc()
        _fail(_out_of_memory(error, arguments[0]), EXIT_FAILURE)


def _out_of_memory(error: Exception, name: str) -> str:
    reason = f" ({str(error).splitlines()[0]:.200})" if str(error) else ""
    present = {flag.name for flag in flags_of(name)}
    helpful = ("batch_size", "row_length", "sequence_length", "remat")
    flags = ", ".join(f"--{flag}" for flag in helpful if flag in present)
    advice = (
        f" If it was the texts in a step that did not fit, these change what one "
        f"needs: {flags}. Otherwise the model or other programs hold the memory."
        if flags
        else ""
    )
    return f"error: out of memory{reason}.{advice}"


def _main(arguments: list[str]):
    name, rest = (arguments or [""])[0], arguments[1:]
    if name in ("", "help", "-h", "--help", "-help"):
        print(overview(), flush=True)
        sys.exit(0 if name else EXIT_INPUT_ERROR)
    if name == "--version":
        print(__version__)
        return
    try:
        command = parse(name, rest)
    except HelpAsked:
        print(help_of(name))
        return
    if getattr(command_module(name), "COMPUTES", True):
        _prepare()
    from sentiment.cli.logs import printed_logs

    try:
        with printed_logs():
            command_module(name).run(command)
    except InputError as error:
        message = with_flags(str(error), {flag.name for flag in flags_of(name)})
        raise InputError(message) from error


def with_flags(message: str, names: Container[str]) -> str:
    """A message of the package in words of the command line.

    Args:
        message: names arguments in backticks, also with a value: `epochs=3`.
        names: of the command's flags.

    Returns:
        The message, where an argument that is a flag is written as one: --epochs=3.
    """

    def flag(match):
        return f"--{match[1]}" if match["name"] in names else match[0]

    return re.sub(r"`((?P<name>[a-z_]+)(=[^`]*)?)`", flag, message)


def overview() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary_of(name)}" for name in listed()]
    return "\n".join(
        [
            "Fine-tunes GPT-2 and others for sentiment classification.",
            "",
            "sentiment COMMAND --flag=value ...",
            "",
            *lines,
            "",
            "sentiment COMMAND --help shows a command's flags; --flagfile=FILE reads "
            "them from a file.",
        ]
    )


def listed() -> list[str]:
    """The commands that users are told of."""
    return [name for name in COMMANDS if not is_internal(name)]


def is_internal(name: str) -> bool:
    """Whether a command is for those who make the package, and so not listed."""
    return getattr(command_module(name), "IS_INTERNAL", False)


def summary_of(name: str) -> str:
    """What a command does, in a line."""
    return command_module(name).__doc__.partition("\n")[0]


def help_of(name: str) -> str:
    """What `sentiment NAME --help` prints."""
    return (
        f"{command_module(name).__doc__.strip()}\n{help_text(help_sections_of(name))}"
    )


def sections_of(name: str) -> list[tuple[str, list[dataclasses.Field]]]:
    """The flags of a command in groups: a title, and the settings."""
    command = command_module(name)
    without = frozenset(getattr(command, "NOT_FLAGS", ()))
    return list(sections(command.CONFIG, without))


def help_sections_of(name: str) -> list[tuple[str, list[dataclasses.Field]]]:
    """What a command's help says: its flags, and settings of flagfiles of their own."""
    in_flagfiles = getattr(command_module(name), "IN_FLAGFILES", None)
    more = list(sections(in_flagfiles)) if in_flagfiles else []
    return [*sections_of(name), *more]


def flags_of(name: str) -> list[dataclasses.Field]:
    """All settings of a command that are flags."""
    return [
        field
        for _, fields in sections_of(name)
        for field in fields
        if not field.metadata["positional"]
    ]


def _settle_streams():
    """Lets every later print work: also of letters a terminal lacks, also to nobody."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="replace")


def _drop_output():
    """Sends to nowhere what is still to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare():
    """Settles what libraries read from the environment when they are imported."""
    backend = os.environ.get("KERAS_BACKEND") or "jax"
    os.environ["KERAS_BACKEND"] = backend
    if backend != "jax":
        raise InputError(
            "The commands run on the jax backend. Received: KERAS_BACKEND="
            f"{backend}. Unset it."
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not sys.stderr.isatty():  # A log file wants few lines of progress.
        os.environ.setdefault("TQDM_MININTERVAL", "10")
    from absl import logging

    logging.set_verbosity(logging.ERROR)


def _close_bars():
    """Ends the line of a progress bar, so that a message has one of its own."""
    tqdm = sys.modules.get("tqdm.std")
    for bar in list(getattr(tqdm and tqdm.tqdm, "_instances", ())):
        with contextlib.suppress(Exception):
            bar.close()


def _fail(message: str, status: int):
    _close_bars()
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    try:
        print(printable(message), file=sys.stderr, flush=True)
    except OSError:  # There is nobody to tell.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.exit(status)
