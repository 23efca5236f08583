"""Where flagfiles are found: here or, for `configs/`, wherever the package is."""

import itertools
import os
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
    packaged = configs_folder().joinpath(*rest)
    return str(packaged) if packaged.is_file() else path


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
    if name not in known:
        raise InputError(
            f"There is no flagfile {name!r}. There are: {', '.join(known)}."
        )
    output = output or f"{name}.cfg"
    text = (configs_folder() / f"{name}.cfg").read_text(encoding="utf-8")
    try:
        with open(output, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{output} exists. Give another --output.") from None
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error}") from error
    return output
