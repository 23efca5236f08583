"""TensorFlow Datasets, read without TensorFlow."""

import logging
from collections.abc import Sequence

import numpy as np

from sentiment.config import DataConfig
from sentiment.data.examples import Examples, SourceKind
from sentiment.errors import InputError
from sentiment.runtime.network import has_network

logger = logging.getLogger(__name__)

# Any host that is up wherever there is a network; the data set's own host is
# known to its download code alone.
PROBE_HOST = "storage.googleapis.com"


class TfdsSource:
    """A TFDS data set with one text and one class label.

    A split whose labels are all negative counts as unlabelled; in any other, rows
    with a negative label are left out and counted. Where `test` is unlabelled or
    missing (SST-2's labels are secret), `validation` serves as
    test, so that validation is carved from train and the test is never looked
    at for selection.

    Args:
        config: the data settings, `dataset` not empty.
        label_names: the data set's own names in another order, which reorders
            the classes; or other names for its classes, in its order; or empty.

    Raises:
        InputError: an unknown data set, an unfit one, a folder that holds
            tfrecord files alone, or a download that fails.
    """

    def __init__(self, config: DataConfig, label_names: Sequence[str] = ()):
        self.num_skipped_rows = 0
        self._builder = _prepared_builder(config.dataset, config.tfds_data_dir)
        import tensorflow_datasets as tfds

        features = self._builder.info.features
        self._text = _feature(features, tfds.features.Text, config.text_column, "text")
        self._label = _feature(
            features, tfds.features.ClassLabel, config.label_column, "label"
        )
        self.label_names = _label_names(features[self._label], label_names)
        self._class_of = _class_of(features[self._label].names, self.label_names)
        self._tfds_splits = self._choose_splits()
        self.splits = tuple(self._tfds_splits)

    def read(self, split: str) -> Examples:
        rows = self._rows(self._tfds_splits[split])
        labelled = [row for row in rows if row[self._label] >= 0]
        if len(labelled) < len(rows):
            num_skipped = len(rows) - len(labelled)
            self.num_skipped_rows += num_skipped
            logger.info(f"Split {split}: skipped {num_skipped:,} rows without label.")
        texts = [_decoded(row[self._text]) for row in labelled]
        labels = np.array([row[self._label] for row in labelled], np.int64)
        return Examples(texts, self._class_of[labels])

    def _choose_splits(self) -> dict[str, str]:
        labelled = [
            name
            for name in ("train", "validation", "test")
            if name in self._builder.info.splits and self._is_labelled(name)
        ]
        splits = {name: name for name in labelled}
        if "test" not in splits and "validation" in splits:
            splits["test"] = splits.pop("validation")
        return splits

    def _is_labelled(self, split: str) -> bool:
        return any(row[self._label] >= 0 for row in self._rows(split, 100))

    def _rows(self, split: str, limit: int | None = None) -> list[dict]:
        return _read_rows(self._builder, split, limit)


TFDS = SourceKind(
    lambda config: bool(config.dataset),
    lambda config, _: TfdsSource(config, config.label_names),
)


def read_tfds_texts(
    name: str, data_dir: str, splits: Sequence[str], text_column: str = ""
) -> dict[str, list[str]]:
    """The texts of several splits, labelled or not.

    Args:
        name: of the data set.
        data_dir: TFDS folder; empty: TFDS's own default.
        splits: names of splits, or parts such as `train[:10%]`.
        text_column: the text feature; empty: the only one.

    Returns:
        The texts of each split.

    Raises:
        InputError: see `TfdsSource`; or there is no such split.
    """
    builder, text = _opened(name, data_dir, splits, text_column)
    return {
        split: [_decoded(row[text]) for row in _read_rows(builder, split)]
        for split in splits
    }


def read_tfds_labelled(
    name: str,
    data_dir: str,
    splits: Sequence[str],
    text_column: str = "",
    label_column: str = "",
    label_names: Sequence[str] = (),
) -> dict[str, list[tuple[str, str]]]:
    """The texts of several splits with the names of their labels.

    Args:
        name: see `read_tfds_texts`.
        data_dir: see there.
        splits: see there.
        text_column: see there.
        label_column: the class label; empty: the only one.
        label_names: see `TfdsSource`.

    Returns:
        Of each split the rows that have a label.

    Raises:
        InputError: see `read_tfds_texts`; or a split has no label at all.
    """
    builder, text = _opened(name, data_dir, splits, text_column)
    import tensorflow_datasets as tfds

    features = builder.info.features
    label = _feature(features, tfds.features.ClassLabel, label_column, "label")
    names = _label_names(features[label], label_names)
    class_of = _class_of(features[label].names, names)
    read = {
        split: [
            (_decoded(row[text]), names[class_of[row[label]]])
            for row in _read_rows(builder, split)
            if row[label] >= 0
        ]
        for split in splits
    }
    for split, rows in read.items():
        if not rows:
            raise InputError(f"The split {split!r} of {name} has no labels.")
    return read


def _opened(name: str, data_dir: str, splits: Sequence[str], text_column: str):
    """The builder of a data set that has all `splits`, and its text feature."""
    builder = _prepared_builder(name, data_dir)
    import tensorflow_datasets as tfds

    text = _feature(builder.info.features, tfds.features.Text, text_column, "text")
    for split in splits:
        try:
            builder.info.splits[split]
        except Exception as error:  # An unknown name, or no such part: train[:10.
            raise InputError(
                f"{name} has no split {split!r}. It has: "
                f"{', '.join(builder.info.splits)}, and parts of them as train[:10%]."
            ) from error
    return builder, text


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _read_rows(builder, split: str, limit: int | None = None) -> list[dict]:
    try:
        source = builder.as_data_source(split=split)
        return source.__getitems__(list(range(len(source)))[:limit])
    except Exception as error:  # A shard that is missing, cut or damaged.
        raise InputError(
            f"The split {split!r} in {builder.data_dir} cannot be read: {error}. Copy "
            "the folder again or prepare it anew."
        ) from error


def _prepared_builder(name: str, data_dir: str):
    # Imported here: two seconds that own files need not pay.
    import tensorflow_datasets as tfds

    data_dir = data_dir or None
    if ":" in name.partition("/")[0] and "://" not in name:
        namespace, version = name.split(":", 1)
        if not version[:1].isdigit() and not has_network(PROBE_HOST):
            raise InputError(
                f"{name!r} names the hub {namespace!r}, which cannot be reached: there "
                "is no network."
            )
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise InputError(
            f"There is no TFDS data set {name!r}. See "
            "https://www.tensorflow.org/datasets/catalog for the names, or give files "
            "of your own."
        ) from error
    except Exception as error:  # An unknown version, a broken dataset_info.json ...
        raise InputError(
            f"TFDS cannot open {name!r}: {type(error).__name__} {error}"
        ) from error
    if builder.is_prepared():
        _check_format(builder)
        return builder
    return _download(tfds, name, data_dir, builder.data_dir)


def _check_format(builder):
    if builder.info.file_format.value == "tfrecord":
        raise InputError(
            f"The TFDS folder {builder.data_dir} holds tfrecord files, which only "
            "TensorFlow reads. Give another --tfds_data_dir, where the data set is "
            "prepared as array_record (it is downloaded there if need be), or convert "
            "it where TensorFlow is installed: tfds convert_format "
            "--out_file_format=array_record."
        )


def _download(tfds, name, data_dir, folder):
    if not has_network(PROBE_HOST):
        raise InputError(
            f"The TFDS data set {name!r} is not in {folder} and there is no network to "
            "download it. Give the --tfds_data_dir that holds it."
        )
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # Every data set fails in its own way.
        raise InputError(f"TFDS could not prepare {name!r}: {error}") from error
    return builder


def _feature(features, kind, wanted: str, what: str) -> str:
    names = [name for name, feature in features.items() if isinstance(feature, kind)]
    if wanted in names:
        return wanted
    if not wanted and len(names) == 1:
        return names[0]
    received = f" --{what}_column={wanted}." if wanted else ""
    raise InputError(
        f"--{what}_column must name one of the data set's {what} features: "
        f"{', '.join(names) or 'it has none'}. All its features: "
        f"{', '.join(features)}.{received and ' Received:' + received}"
    )


def _label_names(feature, wanted: Sequence[str]) -> tuple[str, ...]:
    if not wanted:
        return tuple(feature.names)
    if len(wanted) != feature.num_classes:
        raise InputError(
            f"--label_names must name {feature.num_classes} classes, in place of "
            f"{', '.join(feature.names)}. Received: {', '.join(wanted)}."
        )
    return tuple(wanted)


def _class_of(own: Sequence[str], label_names: Sequence[str]) -> np.ndarray:
    """int32 (num_classes,), our class of each of the data set's classes."""
    if set(own) == set(label_names):
        return np.array([label_names.index(name) for name in own], np.int32)
    return np.arange(len(own), dtype=np.int32)
