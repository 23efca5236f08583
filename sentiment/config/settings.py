"""What a setting is: its default, help, allowed values, and how it is written."""

import csv
import dataclasses
import io
import math
import os
from typing import Any

from sentiment.errors import InputError

MAX_SEED = 2**32 - 1  # NumPy's
# Upper ends of what nobody means: of texts, rows or steps; of tokens in a row or table.
COUNT = 1_000_000_000
LENGTH = 1_048_576
_ENDS_LINE = frozenset("\0\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    repeated: bool = False,
    is_path: bool = False,
    positional: bool = False,
):
    """A dataclass field with its help text and the values it may take.

    Args:
        default: the value where nothing is said.
        help: what the flag's `--help` says.
        choices: the only values allowed.
        at_least: limit of a number; `above`, `at_most`, `below` likewise.
        above: see `at_least`.
        at_most: see `at_least`.
        below: see `at_least`.
        repeated: whether the flag may be given several times, one item each.
        is_path: whether the value is a place on disk, or may be.
        positional: whether it is what stands on the command line without a flag.
    """
    limits = {
        ">=": at_least,
        ">": above,
        "<=": at_most,
        "<": below,
    }
    metadata = {
        "help": help,
        "choices": choices,
        "repeated": repeated,
        "is_path": is_path,
        "positional": positional,
        "limits": {sign: x for sign, x in limits.items() if x is not None},
    }
    if isinstance(default, tuple):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class CheckedConfig:
    """Base of the configs: checks choices and limits of every field.

    Strings lose blanks at their ends, so that a setting is the same when it has been
    written to a flagfile and read again.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.metadata:
                value = _as_written(field, _as_tuple(field, getattr(self, field.name)))
                object.__setattr__(self, field.name, value)
                _check_value(field, value)


def _as_tuple(field, value):
    """A value of a setting that holds several, where one alone or a list was given."""
    if isinstance(value, list):
        return tuple(value)
    if field.type != tuple[str, ...] or field.metadata["repeated"]:
        return value
    if isinstance(value, str):
        return (value,) if value else ()
    return value


def _as_written(field, value):
    """A setting as a flagfile gives it back.

    Raises:
        InputError: it is more than a line, or a path with a blank at an end.
    """
    if field.metadata["repeated"]:  # texts, which are in no flagfile
        return value
    if isinstance(value, tuple):
        return tuple(_as_written(field, item) for item in value)
    if not isinstance(value, str):
        return value
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"--{field.name} is not UTF-8: {value!r:.100}. Rename it.")
    if not _ENDS_LINE.isdisjoint(value):
        raise InputError(f"--{field.name} must be one line. Received: {value!r:.100}.")
    if field.metadata["is_path"] and value != value.strip():
        raise InputError(
            f"--{field.name} must not begin or end with a blank, which a flagfile "
            f"cannot hold. Received: {value!r}. Rename it, or leave the blank out."
        )
    return value.strip()


def _check_value(field, value):
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise InputError(
            f"--{field.name} must be one of {', '.join(map(str, choices))}. "
            f"Received: {value}."
        )
    compare = {
        ">=": lambda limit: value >= limit,
        ">": lambda limit: value > limit,
        "<=": lambda limit: value <= limit,
        "<": lambda limit: value < limit,
    }
    limits = field.metadata["limits"]
    is_infinite = isinstance(value, float) and math.isinf(value)
    if is_infinite or not all(compare[sign](x) for sign, x in limits.items()):
        wanted = " and ".join(f"{sign} {limit}" for sign, limit in limits.items())
        wanted += " and finite" if is_infinite else ""
        raise InputError(f"--{field.name} must be {wanted}. Received: {value}.")


def default_of(field: dataclasses.Field) -> Any:
    """The value of a setting where nothing is said."""
    if field.default is dataclasses.MISSING:
        return field.default_factory()
    return field.default


def changed_settings(config: CheckedConfig) -> list[str]:
    """Names of the settings that are not at their default."""
    defaults = type(config)()
    return [
        field.name
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(defaults, field.name)
    ]


def to_flagfile(*groups: CheckedConfig) -> str:
    """The settings of `groups` as a flagfile, one `--name=value` a line."""
    lines = [
        f"--{field.name}={flag_value(field, getattr(group, field.name))}\n"
        for group in groups
        for field in dataclasses.fields(group)
    ]
    return "".join(lines)


def flag_value(field, value) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, tuple):
        if field.metadata["is_path"]:
            value = tuple(map(absolute, value))
        line = io.StringIO()  # A name may hold a comma or a quote.
        csv.writer(line, lineterminator="").writerow(value)
        return line.getvalue()
    return absolute(value) if field.metadata["is_path"] else written(value)


def written(value: bool | float | str) -> str:
    """A single value as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def absolute(path: str) -> str:
    """A place on disk from any folder; anything else as it is."""
    return os.path.abspath(path) if path and os.path.exists(path) else path
