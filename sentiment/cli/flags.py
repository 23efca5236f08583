"""Command-line flags: the only place that defines or reads them.

Every field of a config class that is a `setting` becomes a flag of its name, and a
field that holds another config class stands for the flags of that. So a flag cannot
miss its setting, and a new one is a field and nothing else.
"""

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from absl import flags

from sentiment.cli.flagfiles import flagfile_lines
from sentiment.config import CheckedConfig
from sentiment.config.settings import default_of, flag_value
from sentiment.errors import InputError

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple[str, ...]: flags.DEFINE_list,
}
_HELP_WIDTH = 88
_ASK_FOR_HELP = {"--help", "-help", "-h"}


class HelpAsked(Exception):
    """`--help` was among the flags."""


class _FlagValues(flags.FlagValues):
    """Flags of which some stand in flagfiles."""

    def read_flags_from_files(self, argv, force_gnu=True):
        """The arguments, each `--flagfile` replaced by what the file holds.

        absl's own reads in the encoding of the locale, drops an empty name, and takes
        a flag's value for a flagfile if it looks like one.
        """
        arguments, rest = [], list(argv)
        while rest:
            argument = rest.pop(0)
            name, has_value, value = argument.lstrip("-").partition("=")
            if argument == "--":
                return [*arguments, argument, *rest]
            if not argument.startswith("-"):
                arguments.append(argument)
            elif name == "flagfile":
                if not has_value:
                    value = rest.pop(0) if rest else ""
                arguments += flagfile_lines(value)
            elif name == "undefok":
                raise InputError("--undefok would hide flags that are misspelt.")
            else:
                arguments.append(argument)
                if not has_value and rest and name in self and not self[name].boolean:
                    arguments.append(rest.pop(0))
        return arguments


def groups_of(config_class: type) -> dict[str, type]:
    """The fields of a config class that hold config classes, and these."""
    return {
        field.name: field.type
        for field in dataclasses.fields(config_class)
        if isinstance(field.type, type) and issubclass(field.type, CheckedConfig)
    }


def settings_of(config_class: type) -> list[dataclasses.Field]:
    """The fields of a config class that are settings, each of them a flag."""
    return [f for f in dataclasses.fields(config_class) if "help" in f.metadata]


def parse_flags(config_class: type, arguments: list[str], **given: Any) -> Any:
    """The config that a command line describes.

    Args:
        config_class: what to make; its settings and those of its groups are flags.
            What is no flag becomes the setting that is `positional`, if there is one.
        arguments: of the command line, without the command's name.
        **given: values of groups that are not made of flags.

    Raises:
        HelpAsked: `--help` was given.
        InputError: an argument is no flag, or a value is not allowed.
    """
    flag_values, rest = parse_values(config_class, arguments, frozenset(given))
    for name in _positional(config_class):
        given = {**given, name: tuple(rest)}
    return _read(config_class, flag_values, **given)


def parse_values(
    config_class: type, arguments: list[str], without: frozenset[str] = frozenset()
) -> tuple[flags.FlagValues, list[str]]:
    """The flags of a config class and its groups, and what is no flag.

    Args:
        config_class: what defines the flags.
        arguments: of the command line.
        without: groups whose settings are no flags here.

    Raises:
        HelpAsked: `--help` was given.
        InputError: an argument is no flag.
    """
    flag_values = _FlagValues()
    flags.DEFINE_bool("help", False, "Show the flags.", flag_values=flag_values)
    _define(config_class, flag_values, without)
    try:
        rest = flag_values(["", *arguments])
    except (flags.Error, ValueError) as error:  # InputErrors of flagfiles, too
        if not _ASK_FOR_HELP.isdisjoint(arguments):
            raise HelpAsked from None
        if isinstance(error, InputError):
            raise
        raise InputError(f"{error}. See --help.") from error
    if flag_values.help:
        raise HelpAsked
    if len(rest) > 1 and not _positional(config_class):
        raise InputError(
            f"Every setting is a flag, --name=value. Received: {' '.join(rest[1:])}"
        )
    return flag_values, rest[1:]


def _positional(config_class: type) -> list[str]:
    fields = settings_of(config_class)
    return [field.name for field in fields if field.metadata["positional"]]


def _define(config_class, flag_values, without):
    for field in settings_of(config_class):
        if field.metadata["positional"]:
            continue
        define = _DEFINE[field.type]
        if field.metadata["repeated"]:
            define = flags.DEFINE_multi_string
        default = default_of(field)
        default = list(default) if isinstance(default, tuple) else default
        define(field.name, default, field.metadata["help"], flag_values=flag_values)
    for name, group in groups_of(config_class).items():
        if name not in without:
            _define(group, flag_values, without)


def _read(config_class: type, flag_values: flags.FlagValues, **given: Any) -> Any:
    values = dict(given)
    for field in settings_of(config_class):
        if field.name not in values:
            value = flag_values[field.name].value
            values[field.name] = tuple(value) if isinstance(value, list) else value
    for name, group in groups_of(config_class).items():
        if name not in values:
            values[name] = _read(group, flag_values)
    return config_class(**values)


def sections(
    config_class: type, without: frozenset[str] = frozenset()
) -> Iterator[tuple[str, list[dataclasses.Field]]]:
    """The flags of a command for a person: a title and the settings of each group.

    Args:
        config_class: of the command.
        without: groups whose settings are no flags here.
    """
    own = settings_of(config_class)
    if own:
        yield config_class.__doc__.partition("\n")[0], own
    for name, group in groups_of(config_class).items():
        if name not in without:
            yield from sections(group, without)


def help_text(groups: Iterable[tuple[str, list[dataclasses.Field]]]) -> str:
    """Flags with what they do, their defaults and allowed values.

    Args:
        groups: as of `sections`.
    """
    lines = []
    for title, fields in groups:
        lines += ["", title]
        for field in fields:
            lines.append(f"  {usage_of(field)}")
            lines += textwrap.wrap(
                description_of(field),
                _HELP_WIDTH,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
            )
    return "\n".join([*lines, ""])


def usage_of(field: dataclasses.Field) -> str:
    """A flag with its default, as it could be typed."""
    if field.metadata["positional"]:
        return f"{field.name.upper()} ..."
    if field.type is bool:
        return f"--[no]{field.name}"
    return f"--{field.name}={flag_value(field, default_of(field))}"


def description_of(field: dataclasses.Field) -> str:
    """What a flag does and which values it may take."""
    text = field.metadata["help"]
    limits = " and ".join(f"{sign} {x}" for sign, x in field.metadata["limits"].items())
    if limits:
        text += f" Must be {limits}."
    if field.metadata["choices"]:
        text += f" One of: {', '.join(field.metadata['choices'])}."
    if field.metadata["repeated"]:
        text += " May be given several times."
    if field.type is bool:
        text += f" Default: {'on' if default_of(field) else 'off'}."
    return text
