"""A user's own files as a source of examples."""

from collections.abc import Sequence
from pathlib import Path

from sentiment.config import DataConfig, TableConfig
from sentiment.data.examples import Examples, SourceKind
from sentiment.data.labelled_rows import read_labelled
from sentiment.data.tables.reader import Table


class FileSource:
    """A user's own files, one per split.

    Args:
        paths: file of each split that there is.
        options: how the files are read.
        label_column: column of the label; empty: "label".
        label_names: the classes, or empty to take those of the first file.
        label_map: what labels mean.
    """

    def __init__(
        self,
        paths: dict[str, str | Path],
        options: TableConfig = TableConfig(),  # noqa: B008, frozen
        label_column: str = "",
        label_names: Sequence[str] = (),
        label_map: Sequence[str] = (),
    ):
        self.splits = tuple(paths)
        self.num_skipped_rows = 0
        self._paths = paths
        self._options = options
        self._labels = {"label_column": label_column, "label_map": label_map}
        for path in paths.values():  # Report a missing file before reading any.
            Table(path, options)
        self._train = None
        self.label_names = tuple(label_names)
        if not self.label_names:
            # Classes are what occurs in training; elsewhere they are checked.
            self._train = self._read_rows(next(iter(paths.values())), None)
            self.label_names = self._train.label_names

    def read(self, split: str) -> Examples:
        if self._train is not None and split == self.splits[0]:
            rows = self._train
        else:
            rows = self._read_rows(self._paths[split], self.label_names)
        self.num_skipped_rows += rows.num_skipped
        return Examples(rows.texts, rows.labels)

    def _read_rows(self, path, label_names):
        return read_labelled(
            path, self._options, label_names=label_names, **self._labels
        )


def _open(config: DataConfig, label_names: Sequence[str]) -> FileSource:
    paths = {
        "train": config.train_file,
        "validation": config.validation_file,
        "test": config.test_file,
    }
    return FileSource(
        {split: path for split, path in paths.items() if path},
        config,
        config.label_column,
        config.label_names or tuple(label_names),
        config.label_map,
    )


OWN_FILES = SourceKind(lambda config: not config.dataset, _open)
