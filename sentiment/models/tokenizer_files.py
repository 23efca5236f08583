"""The tokenizer of a preset, whatever files it comes in."""

import dataclasses
import json
from pathlib import Path

import keras_hub
from keras_hub.src.utils.preset_utils import (
    check_file_exists,
    get_file,
    get_preset_loader,
    load_json,
)

from sentiment.errors import InputError
from sentiment.models.backbones import KINDS
from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.fast_tokenizer import DEFINITION_FILE, FastTokenizer
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.huggingface import is_classifier
from sentiment.models.tokenizer_definitions import (
    LLAMA3_SPLIT,
    QWEN_SPLIT,
    UnigramForm,
    byte_level_definition,
    sentence_piece_bpe_definition,
    unigram_definition,
    word_piece_definition,
)

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"  # Hugging Face's
VOCABULARY_FILE = "vocab.txt"
VOCABULARY_AND_MERGES = ("vocab.json", "merges.txt")
SENTENCE_PIECE_BPE_FILE = "tokenizer.model"
SENTENCE_PIECE_FILES = ("sentencepiece.bpe.model", "spiece.model", "spm.model")

# KerasHub's tokenizers: class, tokens before and after a text, pattern of words.
_BYTE_LEVEL = (
    (keras_hub.models.RobertaTokenizer, ("<s>", "</s>"), ""),
    (keras_hub.models.OPTTokenizer, ("</s>", "</s>"), ""),
    (
        keras_hub.models.Llama3Tokenizer,
        ("<|begin_of_text|>", "<|end_of_text|>"),
        LLAMA3_SPLIT,
    ),
    (
        keras_hub.models.SmolLM3Tokenizer,
        ("", "<|end_of_text|>"),
        LLAMA3_SPLIT,
    ),
    (keras_hub.models.Qwen3Tokenizer, ("", "<|endoftext|>"), QWEN_SPLIT),
)
_SENTENCE_PIECE_BPE = (
    (keras_hub.models.LlamaTokenizer, ("<s>", "</s>")),
    (keras_hub.models.MistralTokenizer, ("<s>", "</s>")),
    (keras_hub.models.Gemma3Tokenizer, ("<bos>", "<eos>")),
)


def huggingface_tokenizer(kind: BackboneKind, preset: str, config: dict | None = None):
    """The tokenizer of a Hugging Face folder.

    A decoder's reads texts with a token after them, so that there is one to read the
    whole text from; but where its head has been trained without, it does without.

    Args:
        kind: that of the backbone.
        preset: a folder or an `hf://` handle.
        config: the content of its `config.json`.

    Raises:
        InputError: there are no files of a tokenizer.
    """
    config = config or {}
    is_gpt2 = issubclass(kind.tokenizer_class, keras_hub.models.GPT2Tokenizer)
    has_definition = check_file_exists(preset, DEFINITION_FILE)
    if is_gpt2 and not is_classifier(config):
        if has_definition and not check_file_exists(preset, "vocab.json"):
            return _gpt2_tokenizer(_read(preset, DEFINITION_FILE))
        loader = get_preset_loader(preset)
        return exact_tokenizer(loader.load_tokenizer(kind.tokenizer_class))
    if has_definition:
        tokenizer = FastTokenizer(_read(preset, DEFINITION_FILE))
    else:
        tokenizer = _made_of_parts(kind, preset, config)
    return _with_end(tokenizer, preset, config) if kind.is_causal else tokenizer


def _made_of_parts(kind: BackboneKind, preset: str, config: dict) -> FastTokenizer:
    """A tokenizer without a definition of its own."""

    def framed(frame):
        is_trained_without = kind.is_causal and is_classifier(config)
        return (frame[0], "") if is_trained_without else frame

    if check_file_exists(preset, VOCABULARY_FILE):
        settings = _settings(preset)
        return FastTokenizer(
            word_piece_definition(
                _read(preset, VOCABULARY_FILE).rstrip("\n").split("\n"),
                lowercase=settings.get("do_lower_case", True),
                strip_accents=settings.get("strip_accents"),
                tokenize_chinese_chars=settings.get("tokenize_chinese_chars", True),
            )
        )
    if check_file_exists(preset, VOCABULARY_AND_MERGES[0]):
        vocabulary, merges = (_read(preset, name) for name in VOCABULARY_AND_MERGES)
        vocabulary = {**json.loads(vocabulary), **_added_tokens(preset)}
        frame, split = _byte_level_form(kind.tokenizer_class) or (kind.frame, "")
        return _byte_level(vocabulary, merges.split("\n"), framed(frame), split)
    if check_file_exists(preset, SENTENCE_PIECE_BPE_FILE):
        proto = Path(get_file(preset, SENTENCE_PIECE_BPE_FILE)).read_bytes()
        return _sentence_piece_bpe(proto, framed(kind.frame))
    for name in SENTENCE_PIECE_FILES:
        if check_file_exists(preset, name) and kind.unigram:
            proto = Path(get_file(preset, name)).read_bytes()
            form = _unigram_form(kind.unigram, preset)
            return FastTokenizer(unigram_definition(proto, form))
    known = (
        VOCABULARY_FILE,
        VOCABULARY_AND_MERGES[0],
        SENTENCE_PIECE_BPE_FILE,
        *SENTENCE_PIECE_FILES,
    )
    raise InputError(
        f"It has no tokenizer: there is neither {DEFINITION_FILE} nor "
        f"{' nor '.join(known)}."
    )


def exact_tokenizer(tokenizer):
    """One of ours that reads as the model was taught, of one of KerasHub's.

    Args:
        tokenizer: what KerasHub loads from a preset; ours are returned as they are.

    Raises:
        InputError: there is nothing here that reads like it.
    """
    if isinstance(tokenizer, FastTokenizer | ByteLevelGPT2Tokenizer):
        return tokenizer
    if isinstance(tokenizer, keras_hub.models.GPT2Tokenizer):
        return ByteLevelGPT2Tokenizer.from_tokenizer(tokenizer)
    if isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        return FastTokenizer(
            word_piece_definition(tokenizer.get_vocabulary(), tokenizer.lowercase)
        )
    if form := _byte_level_form(type(tokenizer)):
        return _byte_level(dict(tokenizer.vocabulary), tokenizer.merges, *form)
    for cls, frame in _SENTENCE_PIECE_BPE:
        if isinstance(tokenizer, cls):
            return _sentence_piece_bpe(tokenizer.proto, frame)
    for kind in KINDS.values():
        if kind.unigram and isinstance(tokenizer, kind.tokenizer_class):
            return FastTokenizer(unigram_definition(tokenizer.proto, kind.unigram))
    raise InputError(f"Nothing here reads like a {type(tokenizer).__name__}.")


def _settings(preset: str) -> dict:
    """What Hugging Face says beside the files of a tokenizer; `null` says nothing."""
    if not check_file_exists(preset, TOKENIZER_CONFIG_FILE):
        return {}
    found = load_json(preset, TOKENIZER_CONFIG_FILE)
    return {name: value for name, value in found.items() if value is not None}


def _unigram_form(form: UnigramForm, preset: str) -> UnigramForm:
    """The form of a family, changed as a folder says."""
    settings = _settings(preset)
    if settings.get("split_by_punct"):
        raise InputError(
            f"Its {TOKENIZER_CONFIG_FILE} wants split_by_punct, for which its "
            f"{DEFINITION_FILE} is needed, too."
        )
    if form.has_fairseq_ids:  # XLM-RoBERTa's knows no such settings.
        return form
    lowercases = settings.get("do_lower_case", form.lowercases)
    keeps_accents = settings.get("keep_accents", not form.strips_accents)
    return dataclasses.replace(
        form,
        lowercases=bool(lowercases),
        strips_accents=form.straightens_quotes and not keeps_accents,
    )


def _added_tokens(preset: str) -> dict[str, int]:
    """Ids of special tokens that `vocab.json` leaves out, as Qwen's does."""
    added = _settings(preset).get("added_tokens_decoder", {})
    return {t["content"]: int(i) for i, t in added.items() if t.get("special", True)}


def _byte_level_form(cls: type) -> tuple[tuple[str, str], str] | None:
    """Tokens before and after a text, and what is a word, by KerasHub's class."""
    return next((form for known, *form in _BYTE_LEVEL if issubclass(cls, known)), None)


def _byte_level(
    vocabulary: dict[str, int],
    merges: list[str],
    frame: tuple[str, str],
    split: str = "",
) -> FastTokenizer:
    merges = [m for m in merges if m and not m.startswith("#version:")]
    names = [t for t in vocabulary if _is_special(t)]
    return FastTokenizer(
        byte_level_definition(
            vocabulary, merges, *frame, names, split, normalize=split == QWEN_SPLIT
        )
    )


def _is_special(token: str) -> bool:
    """Whether no text is meant to give a token, of those that BPE has."""
    return token in ("<pad>", "<unk>", "<mask>") or (
        token.startswith("<|") and token.endswith("|>")
    )


def _sentence_piece_bpe(proto: bytes, frame: tuple[str, str]) -> FastTokenizer:
    return FastTokenizer(sentence_piece_bpe_definition(proto, *frame, ("<pad>",)))


def _with_end(tokenizer: FastTokenizer, preset: str, config: dict) -> FastTokenizer:
    """The same with its model's token for the end of a text."""
    end = _end_id(tokenizer, preset, config)
    if end is None or tokenizer.end_ids:
        return tokenizer
    return FastTokenizer(
        tokenizer.definition,
        start_ids=tokenizer.start_ids,
        end_ids=() if is_classifier(config) else (end,),
        blank_id=end,
    )


def _end_id(tokenizer: FastTokenizer, preset: str, config: dict) -> int | None:
    token = _settings(preset).get("eos_token")
    token = token.get("content") if isinstance(token, dict) else token
    if token in tokenizer.vocabulary:
        return tokenizer.vocabulary[token]
    end = config.get("eos_token_id")
    return end[0] if isinstance(end, list) else end


def _gpt2_tokenizer(definition: str) -> ByteLevelGPT2Tokenizer:
    try:
        model = json.loads(definition)["model"]
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        return ByteLevelGPT2Tokenizer(model["vocab"], merges)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(
            f"Its {DEFINITION_FILE} holds no byte-level BPE, which GPT-2 reads with "
            f"({error!r})."
        ) from error


def _read(preset: str, name: str) -> str:
    return Path(get_file(preset, name)).read_text(encoding="utf-8")
