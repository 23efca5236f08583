"""How a user's own tables are read."""

import dataclasses
from dataclasses import dataclass

from sentiment.config.settings import CheckedConfig, setting
from sentiment.errors import InputError

QUOTING = ("auto", "csv", "none")
_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " "}


@dataclass(frozen=True)
class TableConfig(CheckedConfig):
    """How own tables are read."""

    text_column: str = setting(
        "", "Column of the text; empty: 'text', or the only text feature of a TFDS set."
    )
    encoding: str = setting(
        "",
        "Encoding of own text files, such as gb18030 or cp1252; empty: UTF-8, or "
        "UTF-16 where a byte order mark says so.",
    )
    delimiter: str = setting(
        "",
        "What separates the columns of own CSV and TSV files: one character, or 'tab'; "
        "empty: the comma, semicolon, tab or | that the header has most of.",
    )
    quoting: str = setting(
        "auto",
        "What a quotation mark means in own CSV and TSV files. csv: it encloses a "
        "cell; none: it is part of the text; auto: csv where the line makes sense "
        "that way, else none.",
        choices=QUOTING,
    )
    columns: tuple[str, ...] = setting(
        (),
        "Comma-separated names of the columns, for own CSV and TSV files that begin "
        "without a header.",
    )
    sheet: str = setting(
        "", "Name of the sheet of own workbooks; empty: the only one that is not empty."
    )
    skip_bad_rows: bool = setting(
        False, "Skip and count unusable rows of own files, instead of stopping."
    )

    def __post_init__(self):
        spoken = {"\t": "tab", " ": "space"}.get(self.delimiter, self.delimiter)
        if spoken and not spoken.strip():
            raise InputError(
                f"--delimiter must be no blank but a space or 'tab'. Received: "
                f"{self.delimiter!r}."
            )
        object.__setattr__(self, "delimiter", spoken)
        super().__post_init__()
        if len(self.separator) > 1 or self.separator in ('"', "\n", "\r"):
            raise InputError(
                "--delimiter must be one character (no quotation mark, no line end), "
                f"or 'tab'. Received: {self.delimiter!r}."
            )
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError):  # ValueError: NUL in the name
            raise InputError(
                "--encoding must be one that Python knows, such as gb18030, cp1252 or "
                f"shift_jis. Received: {self.encoding!r}."
            ) from None
        check_names("columns", self.columns)

    def reading(self) -> dict[str, object]:
        """These settings alone, of a config that has more."""
        names = (field.name for field in dataclasses.fields(TableConfig))
        return {name: getattr(self, name) for name in names}

    @property
    def separator(self) -> str:
        """The character that `delimiter` means, or nothing."""
        return _NAMED_DELIMITERS.get(self.delimiter, self.delimiter)


def check_names(flag: str, names: tuple[str, ...]):
    """Raises an `InputError` if a name is empty or there twice."""
    stripped = [name.strip() for name in names]
    if not all(stripped) or len(set(stripped)) != len(stripped):
        raise InputError(
            f"--{flag} must be different names, none of them empty. "
            f"Received: {', '.join(map(repr, names))}."
        )
