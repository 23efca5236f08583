"""Each of the odd files is read as what it holds."""

from sentiment.config import TableConfig
from sentiment.data.tables.reader import Table
from tests.data.tables.odd_files import odd_files


def test_every_odd_file_is_read_as_what_it_holds(tmp_path):
    count, wrong = 0, []
    for file in odd_files():
        count += 1
        path = tmp_path / file.name
        path.write_bytes(file.content)
        table = Table(path, TableConfig(**file.options))
        text, label = table.key("text"), table.key("label")
        found = [
            (row[text], row[label]) if isinstance(row, dict) else row
            for _, row in table
        ]
        if found != file.rows:
            wrong.append((file, found))
        path.unlink()
    assert count == 7 * 4 * 4 * 3 * 4
    assert not wrong, f"{len(wrong)} of {count}, the first: {wrong[0]}"
