"""What a search for settings may vary, and within which limits."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sentiment.config.runs import RunConfig
from sentiment.config.settings import written
from sentiment.errors import InputError

TUNABLE_GROUPS = ("model", "training", "unlabelled", "adversarial")
# The score that compares trials, and settings that change no result.
FIXED = ("monitor", "num_devices", "checkpoint_every", "max_recoveries")
MAX_CHECKED = 1000  # values of a range of whole numbers


@dataclass(frozen=True)
class Dimension:
    """A setting and the values that it may take: a range, or a list.

    Attributes:
        name: of a field in one of a run's groups of settings.
        low: the least value; an int where the setting is a whole number.
        high: the greatest one, which is included.
        is_log: whether each order of magnitude is as likely.
        choices: the values, where they are a list.
    """

    name: str
    low: int | float = 0
    high: int | float = 0
    is_log: bool = False
    choices: tuple[bool | int | float | str, ...] = ()

    @property
    def values(self) -> str:
        """As they are written on the command line."""
        if self.choices:
            return "|".join(map(written, self.choices))
        return f"{self.low}:{self.high}" + (":log" if self.is_log else "")

    def holds(self, value) -> bool:
        """Whether it may take a value."""
        return value in self.choices if self.choices else self.low <= value <= self.high

    def to_check(self) -> Sequence:
        """Values that stand for all in a check: of a range, at least its ends."""
        if self.choices:
            return self.choices
        is_short = isinstance(self.low, int) and self.high - self.low < MAX_CHECKED
        return range(self.low, self.high + 1) if is_short else (self.low, self.high)


def parse_space(texts: Sequence[str], run: RunConfig) -> tuple[Dimension, ...]:
    """Dimensions as they are written on the command line.

    Args:
        texts: `NAME=LOW:HIGH`, `NAME=LOW:HIGH:log` or `NAME=A|B|C`.
        run: gives the other settings, which each value must go with.

    Returns:
        The dimensions in the order of their names, whatever that of `texts`.

    Raises:
        InputError: one cannot be read, names no tunable setting or one twice, or has
            values that the setting may not take.
    """
    dimensions = sorted((_parse(text, run) for text in texts), key=lambda d: d.name)
    names = [dimension.name for dimension in dimensions]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"--space names {', '.join(repeated)} more than once. Give each setting "
            "one range or one list."
        )
    return tuple(dimensions)


def default_space(run: RunConfig) -> tuple[str, ...]:
    """The space that suits most runs: the learning rate, and two regularisers."""
    rate = run.training.learning_rate
    return (
        f"learning_rate={rate / 10:.3g}:{rate * 10:.3g}:log",
        "dropout=0.0:0.3",
        "weight_decay=0.0:0.1",
    )


def tunable_types(run: RunConfig) -> dict[str, type]:
    """The settings that a search may vary: numbers, booleans and choices."""
    return {
        field.name: field.type
        for group in TUNABLE_GROUPS
        for field in dataclasses.fields(getattr(run, group))
        if field.name not in FIXED
        and (field.type in (bool, int, float) or field.metadata["choices"])
    }


def _parse(text: str, run: RunConfig) -> Dimension:
    name, _, values = text.partition("=")
    types = tunable_types(run)
    if name not in types:
        raise InputError(
            f"--space={text} names no setting that can be tuned. Tunable are "
            f"{', '.join(sorted(types))}."
        )
    parse = _parse_list if "|" in values else _parse_range
    dimension = parse(text, name, values, types[name])
    for value in dimension.to_check():
        try:
            run.replaced(**{name: value})
        except InputError as error:
            raise InputError(
                f"--space={text} allows a value that cannot be used. {error}"
            ) from error
    return dimension


def _parse_range(text: str, name: str, values: str, kind: type) -> Dimension:
    low, *rest = values.split(":")
    is_log = rest[1:] == ["log"]
    if kind not in (int, float) or len(rest) != 1 + is_log:
        raise _unreadable(text, kind)
    low, high = (_number(part, text, kind) for part in (low, rest[0]))
    if not low < high or (is_log and low <= 0):
        raise InputError(
            f"--space={text} must have its lower end first"
            f"{', and that above 0' if is_log else ''}."
        )
    return Dimension(name, low, high, is_log)


def _parse_list(text: str, name: str, values: str, kind: type) -> Dimension:
    choices = tuple(_choice(part, text, kind) for part in values.split("|"))
    if len(set(choices)) < len(choices):
        raise InputError(f"--space={text} names a value more than once.")
    return Dimension(name, choices=choices)


def _choice(part: str, text: str, kind: type):
    if kind is str:
        return part
    if kind is not bool:
        return _number(part, text, kind)
    if part not in ("true", "false"):
        raise _unreadable(text, kind)
    return part == "true"


def _number(part: str, text: str, kind: type) -> int | float:
    try:
        value = kind(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _unreadable(text, kind)
    return value


def _unreadable(text: str, kind: type) -> InputError:
    name = text.partition("=")[0]
    wanted = {
        bool: f"{name}=true|false",
        int: f"{name}=LOW:HIGH, {name}=LOW:HIGH:log or {name}=A|B|C of whole numbers",
        float: f"{name}=LOW:HIGH, {name}=LOW:HIGH:log or {name}=A|B|C of numbers",
        str: f"{name}=A|B|C",
    }
    return InputError(f"--space must be {wanted[kind]}. Received: {text}.")
