"""Tables in the sheets of workbooks."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sentiment.config.tables import TableConfig
from sentiment.data.tables.names import distinct, listed
from sentiment.data.tables.rows import BadRow, Header, Parsed
from sentiment.data.tables.streams import open_bytes
from sentiment.errors import InputError

MAX_CELLS = 100_000_000  # calamine's own limit where it has one
_SHEETS = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_PLACE = re.compile(
    rb"""<(?:\w+:)?c\s(?:[^<>]*\s)?r\s*=\s*["']([A-Za-z]{1,3})([0-9]{1,7})["']"""
)
_BLOCK = 1 << 20


def parse_workbook(path: Path, options: TableConfig) -> Parsed:
    """One sheet of a workbook; the first row that is not empty names the columns."""
    from python_calamine import CalamineError  # here: other tables do without

    with open_bytes(path) as stream:
        content = stream.read()
    _check_extent(path, content)
    try:
        book = _open(path, content)
        rows = list(_numbered(_sheet(path, book, options.sheet)))
        header = rows.pop(0)[1] if rows else []
        # Cells beyond the last name make columns without one.
        width = max(map(_width, [header, *(cells for _, cells in rows)]))
        header += [None] * (width - len(header))
        names = ["" if name is None else str(name) for name in header[:width]]
        if options.columns:
            raise InputError(f"--columns is for CSV and TSV files. Received: {path}.")
        yield Header(names, "row")
        keys = distinct(names)
        for number, cells in rows:
            cells += [None] * (width - len(cells))
            row = dict(zip(keys, cells, strict=False))
            is_header = width > 1 and cells[:width] == header[:width]
            yield number, BadRow("the header again", row) if is_header else row
    except CalamineError as error:
        raise InputError(f"{path} cannot be read as a workbook: {error}") from None


def _open(path: Path, content: bytes):
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(content))
    except CalamineError:
        # It says that no format fits; by the name, it says what is wrong.
        return CalamineWorkbook.from_path(str(path))


def _check_extent(path: Path, content: bytes):
    """Checks how far out cells lie, for calamine makes all that are between them.

    One in the last corner would be 17 billion, and end the process. It has a limit of
    its own for .ods, and .xls cannot hold that many.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                if _SHEETS.fullmatch(member):
                    with archive.open(member) as stream:
                        _check_sheet(path, member, stream)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error):
        return  # for calamine to say


def _check_sheet(path: Path, member: str, stream: BinaryIO):
    last_row, last_column, rest = 0, 0, b""
    while block := stream.read(_BLOCK):
        block = rest + block
        rest = block[block.rfind(b"<") :]  # a tag may go on in the next block
        places = _PLACE.findall(block)
        if not places:
            continue
        last_row = max(last_row, *(int(row) for _, row in places))
        columns = {column for column, _ in places}
        last_column = max(last_column, *map(_column_number, columns))
        if last_row * last_column > MAX_CELLS:
            raise InputError(
                f"{path} has a cell as far as row {last_row:,}, column "
                f"{last_column:,} ({member}): a table of {last_row * last_column:,} "
                f"cells, of which {MAX_CELLS:,} can be read. Delete what lies far off, "
                "or save the table as CSV."
            )


def _column_number(letters: bytes) -> int:
    """1 for A, 27 for AA."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number


def _sheet(path: Path, book, name: str):
    names = book.sheet_names
    if not names:
        raise InputError(f"{path} has no sheets.")
    if name:
        if name not in names:
            raise InputError(f"{path} has no sheet {name!r}. It has: {listed(names)}.")
        return book.get_sheet_by_name(name)
    sheets = [book.get_sheet_by_name(each) for each in names]
    filled = [sheet for sheet in sheets if sheet.total_height]
    if len(filled) > 1:
        filled_names = listed([sheet.name for sheet in filled])
        raise InputError(
            f"{path} has {len(filled)} sheets that are not empty: {filled_names}. Say "
            "which is meant: --sheet=NAME."
        )
    return (filled or sheets)[0]


def _numbered(sheet) -> Iterator[tuple[int, list[object]]]:
    """Rows that are not empty, with the numbers that a spreadsheet shows."""
    for number, cells in enumerate(sheet.to_python(skip_empty_area=False), 1):
        values = [_cell(value) for value in cells]
        if any(value is not None for value in values):
            yield number, values


def _cell(value: object) -> object:
    """A cell: nothing instead of an empty one, whole numbers as such."""
    if value == "":
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _width(cells: list[object]) -> int:
    """The number of cells up to the last that is not empty."""
    return max((i for i, cell in enumerate(cells, 1) if cell is not None), default=0)
