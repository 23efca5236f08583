"""Files for the tests of data."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def make(tmp_path):
    """Writes a file of the given content: bytes, a string, or Parquet columns."""

    def make(name, content):
        path = tmp_path / name
        if isinstance(content, dict):
            pq.write_table(pa.table(content), path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make
