"""Where flagfiles are found: here or, for `configs/`, wherever the package is."""

import difflib
import itertools
import os
import stat
from pathlib import Path

from sentiment.errors import InputError

CONFIGS = "configs"
PACKAGE = Path(__file__).resolve().parent.parent


def configs_folder() -> Path:
    """The folder of the flagfiles that come along.

    In a checkout it stands beside the package, in an installation inside of it.
    """
    beside = PACKAGE.parent / CONFIGS
    is_checkout = (PACKAGE.parent / "pyproject.toml").is_file()
    return beside if is_checkout else PACKAGE / CONFIGS


def found_flagfile(path: str) -> str:
    """`path`, or the one that comes along if `configs/...` is not to be found here."""
    first, *rest = Path(path).parts or ("",)
    if first != CONFIGS or not rest or os.path.exists(path):
        return path
    packaged = str(configs_folder().joinpath(*rest))
    return packaged if os.path.isfile(packaged) else path


def flagfile_lines(path: str, inside: tuple[str, ...] = ()) -> list[str]:
    """The flags in a flagfile, and in those that it names.

    Args:
        path: as of `found_flagfile`; `~` is the home folder.
        inside: the flagfiles that name it, the outermost first.

    Raises:
        InputError: it cannot be read, is not UTF-8 text, or names itself.
    """
    named_in = f" (named in {inside[-1]})" if inside else ""
    if not path.strip():
        raise InputError(f"--flagfile= names no file{named_in}.")
    found = found_flagfile(os.path.expanduser(path.strip()))
    if found in inside:
        raise InputError(f"The flagfile {found} names itself{named_in}.")
    try:
        if _waits_or_never_ends(found):
            raise InputError(f"The flagfile {path}{named_in} is no file.")
        with open(found, encoding="utf-8-sig") as file:  # Windows adds a mark.
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise InputError(
            f"The flagfile {path}{named_in} must be UTF-8 text: {error}."
        ) from error
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The flagfile {path}{named_in} cannot be read: {reason}."
            f"{_close_names(path)} `sentiment configs` lists those that come along."
        ) from error
    flags = []
    for line in lines:
        name, _, value = line.lstrip("-").partition("=")
        if line.startswith("-") and name == "flagfile":
            flags += flagfile_lines(value, (*inside, found))
        elif line and not line.startswith(("#", "//")):
            flags.append(line)
    return flags


def _waits_or_never_ends(path: str) -> bool:
    """Whether it is a device, or a pipe but not one of the shell's, `<(command)`."""
    mode = os.stat(path).st_mode
    is_pipe = stat.S_ISFIFO(mode) and not path.startswith("/dev/")
    return is_pipe or stat.S_ISCHR(mode)


def _close_names(path: str) -> str:
    names = list(purposes())
    name = Path(path).name.removesuffix(".cfg")
    close = [name] if name in names else difflib.get_close_matches(name, names, 1)
    return f" Did you mean {CONFIGS}/{close[0]}.cfg?" if close else ""


def purposes() -> dict[str, str]:
    """What each flagfile that comes along is for, by its name."""
    return {
        path.stem: _purpose(path) for path in sorted(configs_folder().glob("*.cfg"))
    }


def _purpose(path: Path) -> str:
    """What follows "Purpose:" in the comment that a flagfile opens with."""
    text = path.read_text(encoding="utf-8")
    head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    words = " ".join(line.lstrip("# ") for line in head)
    return words.partition("Purpose: ")[2].partition(" Command: ")[0]


def copy_config(name: str, output: str = "") -> str:
    """Copies a flagfile that comes along, to be edited.

    Args:
        name: as of `purposes`.
        output: file to write; empty: `NAME.cfg` in this folder.

    Returns:
        The file written.

    Raises:
        InputError: there is no such flagfile, or the file exists or cannot be written.
    """
    known = purposes()
    name = name.removeprefix(f"{CONFIGS}/").removesuffix(".cfg")
    if name not in known:
        raise InputError(
            f"There is no flagfile {name!r}. There are: {', '.join(known)}."
        )
    output = output or f"{name}.cfg"
    text = (configs_folder() / f"{name}.cfg").read_text(encoding="utf-8")
    try:
        file = open(output, "x", encoding="utf-8")  # noqa: SIM115, closed below
    except FileExistsError:
        raise InputError(f"{output} exists. Give another --output.") from None
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error}") from error
    try:
        with file:
            file.write(text)
    except OSError as error:
        os.unlink(output)  # Half of it would pass for a flagfile.
        raise InputError(f"{output} cannot be written: {error}") from error
    return output
