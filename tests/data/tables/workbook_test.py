import re
import zipfile

import pytest

from sentiment.config import TableConfig
from sentiment.data.tables import workbook
from sentiment.data.tables.reader import Table
from sentiment.errors import InputError
from tests.data.tables.workbook import write_workbook

ROWS = [
    ["text", "label", "n"],
    ["Good.", "pos", 5],
    [None, "neg", 1.5],
    ["Bad.", "neg"],
]


def read(path, **options):
    return list(Table(path, TableConfig(**options)))


def test_a_sheet_is_a_table_with_the_rows_a_spreadsheet_shows(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=[[], *ROWS[:2], [], *ROWS[2:]])
    assert Table(path).header == ("text", "label", "n")
    assert read(path) == [
        (3, {"text": "Good.", "label": "pos", "n": 5}),
        (5, {"text": None, "label": "neg", "n": 1.5}),
        (6, {"text": "Bad.", "label": "neg", "n": None}),
    ]
    assert isinstance(read(path)[0][1]["n"], int)


def test_empty_sheets_do_not_count_and_others_must_be_named(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", One=[], Two=ROWS, Three=[[]])
    assert len(read(path)) == 3
    path = write_workbook(tmp_path / "b.xlsx", One=ROWS[:2], Two=ROWS)
    with pytest.raises(InputError, match="2 sheets that are not empty: 'One', 'Two'"):
        read(path)
    assert len(read(path, sheet="One")) == 1
    with pytest.raises(InputError, match=r"no sheet 'x'\. It has: 'One', 'Two'"):
        read(path, sheet="x")


def test_what_is_no_workbook_is_said(make):
    for content in (b"", b"text\na\n", b"PK\x03\x04 and nothing more"):
        with pytest.raises(InputError, match=r"a\.xlsx cannot be read"):
            read(make("a.xlsx", content))


def test_columns_are_for_text_alone(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=ROWS)
    with pytest.raises(InputError, match="--columns is for CSV"):
        read(path, columns=("text",))


def test_cells_beyond_the_last_name_are_kept(tmp_path):
    rows = [["text"], ["a", "more"], ["b"]]
    path = write_workbook(tmp_path / "a.xlsx", Data=rows)
    assert Table(path).header == ("text", "")
    assert [row for _, row in read(path)] == [
        {"text": "a", "": "more"},
        {"text": "b", "": None},
    ]


def test_a_header_inside_of_a_sheet_is_a_bad_row(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=[*ROWS[:2], ROWS[0], *ROWS[2:]])
    assert read(path)[1][1].reason == "the header again"


def with_cell(path, place, spaces=""):
    """Puts a cell anywhere into the only sheet of a workbook."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    cell = f'<row><c {spaces}t="n" r="{place}"><v>1</v></c></row></sheetData>'
    sheet = contents["xl/worksheets/sheet1.xml"]
    contents["xl/worksheets/sheet1.xml"] = sheet.replace(b"</sheetData>", cell.encode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("spaces", ["", " " * workbook._BLOCK])
def test_a_cell_far_off_is_refused(tmp_path, spaces):
    path = write_workbook(tmp_path / "a.xlsx", Data=ROWS)
    with pytest.raises(InputError, match=r"row 1,048,576, column 16,384 .* 17,179,869"):
        read(with_cell(path, "XFD1048576", spaces))


def test_a_cell_further_off_than_the_others_is_read(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=ROWS)
    assert read(with_cell(path, "C5000"))[-1] == (
        5000,
        {"text": None, "label": None, "n": 1},
    )


def test_what_a_text_says_is_no_place(tmp_path):
    text = ' r="XFD1048576" <c r="XFD1048576">'
    path = write_workbook(tmp_path / "a.xlsx", Data=[["text"], [text]])
    assert read(path) == [(2, {"text": text})]


OPEN_DOCUMENT = """<office:document-content
  xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
  xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
  xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">
<office:body><office:spreadsheet><table:table table:name="Data">
  <table:table-row>
    <table:table-cell office:value-type="string">
      <text:p>text</text:p></table:table-cell>
  </table:table-row>
  <table:table-row table:number-rows-repeated="{empty}">
    <table:table-cell/></table:table-row>
  <table:table-row>
    <table:table-cell table:number-columns-repeated="{empty}"/>
    <table:table-cell office:value-type="string"><text:p>x</text:p></table:table-cell>
  </table:table-row>
</table:table></office:spreadsheet></office:body></office:document-content>"""


def write_open_document(path, empty):
    """Writes an .ods whose last cell is so many rows and columns from the first."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        content = re.sub(r"\n *(?=<)", "", OPEN_DOCUMENT.format(empty=empty))
        archive.writestr("content.xml", content)
    return path


def test_an_open_document(tmp_path):
    path = write_open_document(tmp_path / "a.ods", 3)
    assert read(path) == [(5, {"text": None, "": None, ".1": None, ".2": "x"})]


def test_why_a_workbook_cannot_be_read_is_said(tmp_path):
    path = write_open_document(tmp_path / "a.ods", 16_000)
    with pytest.raises(InputError, match="as a workbook: Cell limit exceeded"):
        read(path)
