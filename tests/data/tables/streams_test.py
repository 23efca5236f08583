import gzip
import json
import os
import zipfile

import pytest

from sentiment.config import TableConfig
from sentiment.data.tables.reader import Table, table_suffix
from sentiment.errors import InputError

ROWS = [(2, {"text": "好电影", "label": "pos"}), (3, {"text": "不好", "label": "neg"})]
CONTENT = "text,label\n好电影,pos\n不好,neg\n"


def read(path, **options):
    return list(Table(path, TableConfig(**options)))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(make, encoding):
    assert read(make("a.csv", CONTENT.encode(encoding))) == ROWS


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16-le", "big5", "shift_jis"])
def test_an_encoding_can_be_given(make, encoding):
    content = CONTENT.replace("电", "電") if encoding != "gb18030" else CONTENT
    content = content.replace("不", "太") if encoding == "shift_jis" else content
    rows = read(make("a.csv", content.encode(encoding)), encoding=encoding)
    assert [row["label"] for _, row in rows] == ["pos", "neg"]
    assert rows[0][1]["text"] == content.split("\n")[1].split(",")[0]


HINTS = {
    "gb18030": "这部电影非常好看，我很喜欢",
    "cp1252": "C’est très bien, j’ai adoré — “déjà vu”",
    "cp1251": "Это очень плохой фильм, не смотрите его",
    "shift_jis": "この映画はとても良かったです",
    "euc_kr": "이 영화는 정말 재미있었어요",
    "utf_16_le": "Plain text, but two bytes a character",
    "utf_16_be": "Plain text, but two bytes a character",
}


@pytest.mark.parametrize("encoding", list(HINTS))
def test_encodings_that_read_the_file_are_named_with_what_they_read(make, encoding):
    text = HINTS[encoding]
    content = f"{'text' if 'utf' not in encoding else ''}\n\n{text}\n" * 3
    path = make("a.txt", content.encode(encoding))
    with pytest.raises(InputError, match=r"line \d+: not UTF-8") as error:
        read(path)
    hints = [line for line in str(error.value).splitlines() if "--encoding=" in line]
    assert f"--encoding={encoding} reads that line as" in hints[0]
    assert "utf" in encoding or text[:10] in hints[0]
    for hint in hints:  # Each of them does read the file.
        name = hint.split("--encoding=")[1].split()[0]
        assert read(path, encoding=name)


def test_an_encoding_that_does_not_read_the_file_is_not_named(make):
    """The first line is fine in both, the last one in GB 18030 alone."""
    content = "text\n" + "好\n" * 10 + "\u4e02\u3400\n"
    with pytest.raises(InputError) as error:
        read(make("a.csv", content.encode("gb18030")))
    assert "--encoding=gb18030" in str(error.value)
    assert "euc_kr" not in str(error.value)


def test_a_wrong_encoding_is_named(make):
    with pytest.raises(InputError, match="line 3: not SHIFT_JIS"):
        read(make("a.csv", b"text\na\n\xfd\xfe\n"), encoding="shift_jis")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n\xff", "a PNG picture"),
        (b"\x1f\x8b\x08\x00 and so on", "gzip"),
        (b"PK\x03\x04\xff", "zip or a workbook"),
        (b"%PDF-1.7\n\xff", "PDF"),
    ],
)
def test_what_is_no_text_is_called_what_it_is(make, content, what):
    with pytest.raises(InputError, match=f"is {what}.*, not text") as error:
        read(make("a.csv", content))
    assert "--encoding" not in str(error.value)


def test_compressed_files_have_the_suffix_of_what_is_in_them(make):
    assert table_suffix("A.CSV.GZ") == ".csv"
    assert read(make("a.csv.gz", gzip.compress(CONTENT.encode()))) == ROWS
    rows = [row for _, row in ROWS]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    found = read(make("a.jsonl.gz", gzip.compress(lines)))
    assert found == list(enumerate(rows, 1))
    with pytest.raises(InputError, match=r"a\.csv\.gz cannot be read"):
        read(make("a.csv.gz", CONTENT))
    with pytest.raises(InputError, match=r"a\.csv\.xz cannot be read"):
        read(make("a.csv.xz", CONTENT))
    cut = gzip.compress(CONTENT.encode() * 99)[:-20]
    with pytest.raises(InputError, match=r"a\.csv\.gz cannot be read"):
        read(make("a.csv.gz", cut))


def archive(path, **files):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name.replace("_", "."), content)
    return path


def test_an_archive_holds_one_table(tmp_path):
    path = archive(tmp_path / "a.zip", a_csv=CONTENT)
    assert read(path) == ROWS
    path = archive(tmp_path / "b.zip", a_csv=CONTENT, b_csv=CONTENT)
    with pytest.raises(InputError, match=r"holds 2 files: a\.csv, b\.csv"):
        read(path)
    with pytest.raises(InputError, match="holds 0 files: none"):
        read(archive(tmp_path / "c.zip"))
    with pytest.raises(InputError, match="must end in"):
        read(archive(tmp_path / "d.zip", a_doc=CONTENT))
    (tmp_path / "e.zip").write_text(CONTENT)
    with pytest.raises(InputError, match=r"e\.zip cannot be read"):
        read(tmp_path / "e.zip")


def test_a_pipe_or_device_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to("/dev/zero")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(InputError, match="a pipe or a device"):
            Table(tmp_path / name)


def test_a_mark_is_no_text_also_where_utf_8_is_said(make):
    path = make("a.csv", CONTENT.encode("utf-8-sig"))
    assert read(path, encoding="utf8") == ROWS


def test_half_a_file_that_is_not_utf_8_is_refused_in_a_sentence(make):
    content = gzip.compress(os.urandom(30_000).hex().encode() + "é\n".encode("cp1252"))
    text = "".join(f"café {i},{i * 7919}\n" for i in range(20_000))
    content = gzip.compress(f"text,label\n{text}".encode("cp1252"))
    with pytest.raises(InputError, match="cannot be read"):
        read(make("a.csv.gz", content[: len(content) // 2]))


def test_bad_utf_16_is_named_by_its_line(make):
    content = f"text,label\n{'a,b' * 3}\n" * 200
    path = make("a.csv", content.encode("utf-16") + b"\x00\xd8\x0a\x00")
    with pytest.raises(InputError, match="line 401: not UTF-16"):
        read(path)
