"""Byte-level BPE vocabularies: training one, reading one from plain files."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sentiment.config import MIN_VOCABULARY_SIZE
from sentiment.errors import InputError

END_OF_TEXT = "<|endoftext|>"


def train_vocabulary(
    texts: Iterable[str], vocabulary_size: int
) -> tuple[dict[str, int], list[str]]:
    """Learns a byte-level BPE in GPT-2's form (Radford et al. 2019).

    Args:
        texts: cleaned texts of the training split alone.
        vocabulary_size: tokens wanted, `<|endoftext|>` (id 0) included. A
            small corpus may give fewer.

    Returns:
        `(vocabulary, merges)` as `ByteLevelGPT2Tokenizer` takes them.

    Raises:
        InputError: `vocabulary_size` is below 257.
    """
    if vocabulary_size < MIN_VOCABULARY_SIZE:
        raise InputError(
            f"vocabulary_size must be at least {MIN_VOCABULARY_SIZE} (256 bytes and "
            f"{END_OF_TEXT}). Received: {vocabulary_size}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return model["vocab"], merges


def read_vocabulary(folder: str | Path) -> tuple[dict[str, int], list[str]]:
    """Reads `vocab.json` and `merges.txt`, as GPT-2 publishes them.

    Returns:
        `(vocabulary, merges)`, the `#version` line of the merges left out.

    Raises:
        InputError: the folder or one of the files is missing or unreadable,
            `<|endoftext|>` is not in the vocabulary, its ids are not 0, 1, 2, ...
            or the two files do not belong together.
    """
    folder = Path(folder)
    paths = [folder / "vocab.json", folder / "merges.txt"]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"The tokenizer folder {str(folder)!r} has no {' and no '.join(missing)}. "
            "It must hold GPT-2's vocab.json and merges.txt."
        )
    try:
        vocabulary = json.loads(paths[0].read_text(encoding="utf-8"))
        lines = paths[1].read_text(encoding="utf-8").split("\n")
        if not isinstance(vocabulary, dict):
            raise ValueError("vocab.json must hold one JSON object")
    except ValueError as error:
        raise InputError(
            f"The tokenizer in {str(folder)!r} is unreadable: {error}"
        ) from error
    if END_OF_TEXT not in vocabulary:
        raise InputError(
            f"{paths[0]} has no token {END_OF_TEXT}, which GPT-2 starts and ends "
            "texts with."
        )
    ids = list(vocabulary.values())
    are_integers = all(type(token_id) is int for token_id in ids)
    if not are_integers or set(ids) != set(range(len(ids))):
        raise InputError(
            f"The ids in {paths[0]} must be 0 to {len(vocabulary) - 1}, each once."
        )
    merges = [line for line in lines if line and not line.startswith("#version:")]
    for merge in merges:
        parts = merge.split(" ")
        if len(parts) != 2 or not {*parts, "".join(parts)} <= vocabulary.keys():
            raise InputError(
                f"{paths[1]} merges {merge!r}, which does not fit {paths[0]}. Take "
                "both files from one tokenizer."
            )
    return vocabulary, merges
