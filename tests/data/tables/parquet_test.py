import pyarrow as pa
import pytest

from sentiment.data.tables.reader import Table
from sentiment.errors import InputError


def test_bytes_that_are_no_text_are_named_by_their_column(make):
    bad = pa.Array.from_buffers(
        pa.string(),
        1,
        [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")],
    )
    path = make("a.parquet", {"text": pa.array(["a"]), "b": bad})
    with pytest.raises(InputError, match="a value in column 'b' that Python cannot"):
        list(Table(path))
