"""Tables of text: columns separated by a character, or one text a line."""

import csv
import itertools
import logging
import re
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sentiment.config.tables import TableConfig
from sentiment.data.tables.names import distinct, tidy_name
from sentiment.data.tables.rows import BadRow, Header, Parsed
from sentiment.data.tables.streams import open_text
from sentiment.errors import InputError

_SEPARATORS = (",", ";", "\t", "|")
_SPOKEN = {"\t": "a tab", ",": "a comma", ";": "a semicolon", " ": "a space"}
_FASTTEXT = "__label__"
_QUOTING = "bad quoting, is a quote not closed or not doubled"
_LONG_ROW = 20  # lines, after which a row is looked at while it is read
_LOOKED_AT = 20  # lines, for what a file is
_MAX_FIELD = 1 << 26  # characters; also bounds what an open quote can take in

logger = logging.getLogger(__name__)


class _Lines:
    """Physical lines of a file, some of which may be read again.

    Attributes:
        number: of the first line that is taken, from 1.
        taken: the lines read since the last row ended.
        ends_cell: finds where a quoted cell ends; a row in which more of them end than
            it has fields is broken, and its lines end there. `None`: no row is.
        width: fields of a row.
    """

    def __init__(self, stream: TextIO):
        self.number = 1
        self.taken = []
        self.ends_cell: re.Pattern | None = None
        self.width = 0
        self._num_ends = 0
        self._stream = stream
        self._again = deque()

    def __iter__(self):
        return self

    def __next__(self) -> str:
        if len(self.taken) > _LONG_ROW and self._num_ends > self.width:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._stream)
        self.taken.append(line)
        if self.ends_cell is not None:
            self._num_ends += len(self.ends_cell.findall(line))
        return line

    def end_row(self, lines: int | None = None):
        """What was taken, or that many lines of it, is done; the rest comes again."""
        lines = len(self.taken) if lines is None else lines
        self._again.extendleft(reversed(self.taken[lines:]))
        self.number += lines
        self.taken.clear()
        self._num_ends = 0

    def peek(self, count: int = 1) -> list[str]:
        """The next lines that are not blank, or "" where there are none; they stay."""
        written = itertools.islice((line for line in self if line.strip("\r\n")), count)
        lines = [*written, *[""] * count][:count]
        self.end_row(0)
        return lines


def parse_csv(path: Path, options: TableConfig) -> Parsed:
    """A table whose columns are usually separated by commas."""
    with open_text(path, options.encoding) as stream:
        yield from _delimited(path, _Lines(stream), options, ",")


def parse_tsv(path: Path, options: TableConfig) -> Parsed:
    """A table whose columns are usually separated by tabs."""
    with open_text(path, options.encoding) as stream:
        yield from _delimited(path, _Lines(stream), options, "\t")


def parse_txt(path: Path, options: TableConfig) -> Parsed:
    """One text a line, or fastText's `__label__x text`, or a table after all.

    It is a table if the first line names the column of the text, or has as many columns
    as the options name, with tabs or the delimiter between, and half of the next lines
    have as many.
    """
    text_column = options.text_column or "text"
    with open_text(path, options.encoding) as stream:
        lines = _Lines(stream)
        looked_at = [line for line in lines.peek(_LOOKED_AT) if line] or [""]
        first, *others = looked_at
        separator = options.separator or "\t"
        names = [tidy_name(name) for name in first.split(separator)]
        count = len(options.columns) - 1 if options.columns else first.count(separator)
        alike = [line.count(separator) == count for line in others]
        has_header = len(names) > 1 and tidy_name(text_column) in names
        fits = options.columns and first.count(separator) == count > 0
        if (has_header or fits) and 2 * sum(alike) >= len(alike):
            yield from _delimited(path, lines, options, "\t")
        elif first.startswith(_FASTTEXT):
            yield from _fasttext(lines, text_column)
        else:
            yield Header([text_column])
            for number, line in enumerate(lines, 1):
                lines.end_row()
                if line.strip():
                    yield number, {text_column: line.rstrip("\r\n")}


def _fasttext(lines: _Lines, text_column: str) -> Parsed:
    yield Header(["label", text_column])
    for number, line in enumerate(lines, 1):
        lines.end_row()
        words = line.split()
        labels = [*itertools.takewhile(lambda word: word.startswith(_FASTTEXT), words)]
        if len(labels) == 1:
            text = line.lstrip().removeprefix(labels[0]).strip()
            yield (
                number,
                {"label": labels[0].removeprefix(_FASTTEXT), text_column: text},
            )
        elif words:
            yield number, BadRow(f"{len(labels)} labels ({_FASTTEXT}...) instead of 1")


def _delimited(path: Path, lines: _Lines, options: TableConfig, default: str) -> Parsed:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
    told = _told_separator(lines)
    separator = options.separator or told
    if not separator:
        separator = _separator_of(path, lines, default, len(options.columns))
    records = _Records(path, lines, separator, options.quoting)
    if options.columns:
        header = list(options.columns)
        records.width = len(header)
        width = records.width_of_first()
        if width and width != len(header):
            raise InputError(
                f"{path} has {width} columns in its first row, where "
                f"{_SPOKEN.get(separator, repr(separator))} separates them; --columns "
                f"names {len(header)}: {', '.join(header)}. --delimiter says what "
                "separates columns."
            )
    else:
        line, header = next(iter(records), (1, BadRow("no header, the file is empty")))
        if isinstance(header, BadRow):
            raise InputError(f"{path}, line {line}: {header.reason}")
    yield Header(header)
    keys = distinct(header)
    records.expect(len(header))
    for line, fields in records:
        if isinstance(fields, BadRow):
            yield line, fields
        elif len(fields) != len(header):
            # A blank line has one field.
            if len(fields) > 1 or fields[0].strip():
                yield (
                    line,
                    BadRow(
                        f"{len(fields)} fields instead of {len(header)}",
                        dict(zip(keys, fields, strict=False)),
                    ),
                )
        elif fields == header and len(header) > 1:
            yield line, BadRow("the header again", dict(zip(keys, fields, strict=True)))
        else:
            yield line, dict(zip(keys, fields, strict=True))


def _told_separator(lines: _Lines) -> str:
    """What a line `sep=;`, by which a spreadsheet is told, says; it is no row."""
    (first,) = lines.peek()
    if not (first.lower().startswith("sep=") and len(first.rstrip("\r\n")) == 5):
        return ""
    while next(lines) != first:
        pass
    lines.end_row()
    return first[4]


def _separator_of(path: Path, lines: _Lines, default: str, num_columns: int) -> str:
    """The separator that the header has most of, outside of quotes.

    Without a header, the one that makes so many columns of most of the first lines.
    """
    separators = (default, *_SEPARATORS)
    looked_at = [line for line in lines.peek(_LOOKED_AT if num_columns else 1) if line]
    counts = [Counter("".join(line.split('"')[::2])) for line in looked_at]
    if num_columns == 1:
        return default
    if num_columns:
        fitting = {
            separator: sum(count[separator] == num_columns - 1 for count in counts)
            for separator in separators
        }
    else:
        fitting = counts[0] if counts else Counter()
    best = max(separators, key=fitting.__getitem__)
    if best != default:
        where = "most lines fit" if num_columns else "as in its first line"
        spoken = _SPOKEN.get(best, repr(best))
        logger.info(f"{path}: columns are separated by {spoken}, {where}.")
    return best


class _Records:
    """The records of a table, each with the line in which it begins.

    A record is a list of strings, or a `BadRow`.

    Attributes:
        width: how many fields a record has; 0 while that is not known.
    """

    def __init__(self, path: Path, lines: _Lines, separator: str, quoting: str):
        self.width = 0
        self._path = path
        self._lines = lines
        self._separator = separator
        self._quoting = quoting
        self._has_warned = False

    def expect(self, width: int):
        """Says how many fields a record has."""
        self.width = self._lines.width = width
        if self._quoting != "none":
            ends = re.escape(self._separator)
            self._lines.ends_cell = re.compile(rf'(?<!")"(?={ends}|[\r\n])')

    def width_of_first(self) -> int:
        """How many fields the next record has; 0 if it cannot be read."""
        if self._quoting == "none":
            (line,) = self._lines.peek()
            return len(self._literal(line)) if line else 0
        try:
            first = next(filter(None, self._reader(self._lines)), [])
        except csv.Error:
            first = []
        self._lines.end_row(0)
        return len(first)

    def __iter__(self) -> Iterator[tuple[int, list[str] | BadRow]]:
        if self._quoting == "none":
            return self._literal_records()
        return self._quoted_records()

    def _literal_records(self):
        lines = self._lines
        for line in lines:
            number = lines.number
            lines.end_row()
            if line.strip("\r\n"):
                yield number, self._literal(line)

    def _quoted_records(self):
        lines = self._lines
        while True:
            try:
                for fields in self._reader(lines):
                    number, count = lines.number, None
                    is_plain = len(lines.taken) == 1 and len(fields) == self.width
                    if not is_plain and fields and self._quoting == "auto":
                        fields, count = self._reconsidered(fields)
                    lines.end_row(count)
                    if fields:
                        yield number, fields
                return
            except csv.Error as error:
                number = lines.number
                fields, count = self._without_quotes(error)
                lines.end_row(count)
                yield number, fields

    def _reader(self, lines, **options):
        return csv.reader(lines, delimiter=self._separator, strict=True, **options)

    def _literal(self, line: str) -> list[str]:
        return line.rstrip("\r\n").split(self._separator)

    def _stray(self, line: str) -> list[str]:
        """The fields of a line whose quotes are text, if it makes sense that way.

        A quote that stays open is text between tabs; between commas it is likelier to
        have lost its end.
        """
        fields = self._literal(line)
        makes_sense = len(fields) == self.width and (
            self._separator == "\t" or line.count('"') % 2 == 0
        )
        return fields if makes_sense else []

    def _reconsidered(self, fields: list[str]) -> tuple[list[str] | BadRow, int | None]:
        """A record that quotes make odd, and how many of its lines it really is."""
        taken = self._lines.taken
        if not self.width:
            return fields, None
        if '\\"' in taken[0] and (escaped := self._escaped(taken[0])):
            return escaped, 1
        if len(taken) == 1:
            return fields, None
        if len(fields) != self.width:
            if literal := self._stray(taken[0]):
                return literal, 1
            # A later line that is a row of its own was taken in by an open quote.
            if any(len(self._alone(line)) == self.width for line in taken[1:]):
                return BadRow(f"{_QUOTING}? ({len(fields)} fields)"), 1
            return fields, None
        # Commas and line ends are in many quoted texts, tabs are in few.
        if self._separator == "\t" and any(map(_holds_tab_and_line_end, fields)):
            is_literal = all(map(self._stray, taken))
            self._warn(is_literal)
            if is_literal:
                return self._literal(taken[0]), 1
        return fields, None

    def _escaped(self, line: str) -> list[str]:
        """The fields of a line that escapes quotes by backslashes, if it is a row."""
        fields = self._alone(line, escapechar="\\")
        return fields if len(fields) == self.width else []

    def _alone(self, line: str, **options) -> list[str]:
        try:
            return next(self._reader([line], **options), [])
        except csv.Error:
            return []

    def _warn(self, is_literal: bool):
        if self._has_warned:
            return
        self._has_warned = True
        first = self._lines.number
        last = first + len(self._lines.taken) - 1
        taken_as = (
            "each line was taken as a row, quotation marks as part of the text. "
            "--quoting=csv reads one cell"
            if is_literal
            else "they were taken as one cell. --quoting=none reads rows"
        )
        logger.warning(
            f"{self._path}, lines {first} to {last}: a quoted cell would hold a tab "
            f"and a line end; {taken_as}. Others are not listed."
        )

    def _without_quotes(self, error: csv.Error) -> tuple[list[str] | BadRow, int]:
        """What quotes that do not fit mean: escaped ones, or part of the text."""
        taken = list(self._lines.taken)
        if self._quoting == "auto" and self.width:
            if any('\\"' in line for line in taken):
                self._lines.end_row(0)
                try:
                    fields = next(self._reader(self._lines, escapechar="\\"), [])
                except csv.Error:
                    fields = []
                if len(fields) == self.width:
                    return fields, len(self._lines.taken)
            if literal := self._stray(taken[0]):
                return literal, 1
        return BadRow(f"{_QUOTING}? ({error})"), 1


def _holds_tab_and_line_end(field: str) -> bool:
    return "\t" in field and not {"\n", "\r"}.isdisjoint(field)
