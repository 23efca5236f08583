"""What every reader of tables gives: first a `Header`, then a row at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Row = dict[str, object]


@dataclass(frozen=True)
class Header:
    """The columns of a table.

    Attributes:
        names: of the columns as they stand in the file, so maybe one twice.
        place: what the number of a row counts, "line" or "row", from 1.
    """

    names: list[str]
    place: str = "line"


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used as it stands.

    Attributes:
        reason: what is wrong with it.
        values: what could be read of it, by column.
    """

    reason: str
    values: Row = field(default_factory=dict)


Parsed = Iterator[Header | tuple[int, Row | BadRow]]
