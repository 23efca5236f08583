"""`tokenizer.json` for vocabularies in older formats, built by `tokenizers` itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from sentiment.errors import InputError

# How text is split before byte-level BPE, beside GPT-2's way.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")


def word_piece_definition(
    vocabulary: Sequence[str],
    lowercase: bool,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> str:
    """BERT's tokenizer (Devlin et al. 2019).

    Args:
        vocabulary: tokens in the order of their ids, as in `vocab.txt`.
        lowercase: whether text is lowercased.
        strip_accents: whether accents go; `None`: where it is lowercased.
        tokenize_chinese_chars: whether each Chinese character is a word.
    """
    vocabulary = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=tokenize_chinese_chars,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _framed(
        tokenizer, vocabulary, "[CLS]", "[SEP]", ("[PAD]", "[UNK]", "[MASK]")
    )


def byte_level_definition(
    vocabulary: dict[str, int],
    merges: Sequence[str],
    start: str,
    end: str,
    special: Sequence[str] = (),
    split: str = "",
    normalize: bool = False,
) -> str:
    """Byte-level BPE, as of RoBERTa (Liu et al. 2019).

    Args:
        vocabulary: ids by token.
        merges: rules, `"a b"`, the first ones first.
        start: token before each text; empty: none.
        end: token after each text; empty: none.
        special: further special tokens.
        split: pattern of what is a word; empty: GPT-2's.
        normalize: whether letters and their accents are put together first (NFC).
    """
    pairs = [tuple(merge.split(" ")) for merge in merges]
    # A word that is a token needs no merges, where a pattern has been given.
    model = models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=bool(split))
    tokenizer = Tokenizer(model)
    if normalize:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split:
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        words = pre_tokenizers.Split(Regex(split), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return _framed(tokenizer, vocabulary, start, end, special)


@dataclass(frozen=True)
class UnigramForm:
    """What a family of models makes of a unigram model of SentencePiece's.

    Attributes:
        start: tokens before each text, with a space between them.
        end: tokens after each text.
        straightens_quotes: whether two small quotes become one of the usual ones.
        strips_accents: whether letters lose them.
        lowercases: whether text is lowercased.
        has_fairseq_ids: whether there is a token more at the beginning.
        mask: comes after all pieces where it is none; empty: never.
    """

    start: str
    end: str
    straightens_quotes: bool = False
    strips_accents: bool = False
    lowercases: bool = False
    has_fairseq_ids: bool = False
    mask: str = ""


XLM_ROBERTA_UNIGRAM = UnigramForm("<s>", "</s>", has_fairseq_ids=True, mask="<mask>")
ALBERT_UNIGRAM = UnigramForm("[CLS]", "[SEP]", True, True, lowercases=True)
DEBERTA_UNIGRAM = UnigramForm("[CLS]", "[SEP]", mask="[MASK]")
XLNET_UNIGRAM = UnigramForm("", "<sep> <cls>", True, True)
# `Strip` would take line ends and control characters, too, which are tokens here.
_SINGLE_SPACES = (
    normalizers.Replace(Regex("^ +| +$"), ""),
    normalizers.Replace(Regex(" {2,}"), " "),
)
_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
_END_OF_PARAGRAPH = "<eop>"  # XLNet's, a symbol that its text may have


def unigram_definition(proto: bytes, form: UnigramForm) -> str:
    """A unigram model of SentencePiece's (Kudo 2018).

    Args:
        proto: the content of its `.model` file.
        form: what its family makes of it.

    Raises:
        InputError: it is no such model.
    """
    model = _sentence_piece_model(proto)
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    special = [p.piece for p in model.pieces if p.type in (p.CONTROL, p.UNKNOWN)]
    special += [*_FAIRSEQ, form.mask, _END_OF_PARAGRAPH]
    if model.trainer_spec.model_type != model.trainer_spec.UNIGRAM or not pieces:
        raise InputError("Its SentencePiece model is no unigram model.")
    unknown = model.trainer_spec.unk_id
    if form.has_fairseq_ids:
        pieces = [*((token, 0.0) for token in _FAIRSEQ), *pieces[3:]]
        unknown = _FAIRSEQ.index("<unk>")
    if form.mask and form.mask not in dict(pieces):
        pieces.append((form.mask, 0.0))
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown))
    steps = []
    if form.straightens_quotes:
        steps += [normalizers.Replace(quotes, '"') for quotes in ("``", "''")]
    if form.strips_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if form.lowercases:
        steps.append(normalizers.Lowercase())
    if model.normalizer_spec.precompiled_charsmap:
        charsmap = model.normalizer_spec.precompiled_charsmap
        steps.append(normalizers.Precompiled(charsmap))
    steps += _SINGLE_SPACES
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    vocabulary = {token: i for i, (token, _) in enumerate(pieces)}
    return _framed(tokenizer, vocabulary, form.start, form.end, special)


def sentence_piece_bpe_definition(
    proto: bytes, start: str, end: str, special: Sequence[str] = ()
) -> str:
    """A byte-pair encoding of SentencePiece's, as of Llama 2, Mistral and Gemma.

    Args:
        proto: the content of its `.model` file.
        start: token before each text.
        end: token after each text.
        special: further special tokens.

    Raises:
        InputError: it is no such model, or one that cannot be read exactly.
    """
    model = _sentence_piece_model(proto)
    trained, normal = model.trainer_spec, model.normalizer_spec
    if trained.model_type != trained.BPE or not model.pieces:
        raise InputError("Its SentencePiece model is no byte-pair encoding.")
    vocabulary = {piece.piece: i for i, piece in enumerate(model.pieces)}
    whole = [p.piece for p in model.pieces if p.type == p.USER_DEFINED]
    if whole and normal.add_dummy_prefix:
        raise InputError(
            "Its SentencePiece model has both a space before each text and pieces that "
            f"are never split, like {whole[0]!r}; `tokenizers` cannot do both."
        )
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_merges(model.pieces, vocabulary),
            unk_token=model.pieces[trained.unk_id].piece,
            fuse_unk=True,
            byte_fallback=trained.byte_fallback,
        )
    )
    steps = []
    if normal.precompiled_charsmap:
        steps.append(normalizers.Precompiled(normal.precompiled_charsmap))
    if normal.remove_extra_whitespaces:
        steps += _SINGLE_SPACES
    if normal.add_dummy_prefix:
        steps.append(normalizers.Prepend("\u2581"))
    steps.append(normalizers.Replace(" ", "\u2581"))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if normal.add_dummy_prefix else ()),
        ]
    )
    tokenizer.add_tokens([AddedToken(piece, normalized=True) for piece in whole])
    return _framed(tokenizer, vocabulary, start, end, special)


def _merges(pieces, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """The rules that SentencePiece keeps as scores: who is made first scores most."""
    found = []
    for piece in pieces:
        if piece.type != piece.NORMAL:
            continue
        text = piece.piece
        for i in range(1, len(text)):
            left, right = text[:i], text[i:]
            if left in vocabulary and right in vocabulary:
                order = (-piece.score, vocabulary[left], vocabulary[right])
                found.append((order, (left, right)))
    return [pair for _, pair in sorted(found)]


def _sentence_piece_model(proto: bytes):
    from sentencepiece import sentencepiece_model_pb2  # Few models need it.

    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(proto)
    except Exception as error:  # of protobuf's own, by implementation
        raise InputError(f"Its SentencePiece model is damaged: {error}.") from error
    return model


def _framed(tokenizer, vocabulary, start: str, end: str, special) -> str:
    frame = [*start.split(), *end.split()]
    missing = [token for token in frame if token not in vocabulary]
    if missing:
        raise InputError(
            f"Its vocabulary has no token {missing[0]!r}, which its texts begin or end "
            "with. Copy its tokenizer.json, too."
        )
    tokens = dict.fromkeys(t for t in (*frame, *special) if t in vocabulary)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([start, "$A", end]).strip(),
        special_tokens=[(token, vocabulary[token]) for token in dict.fromkeys(frame)],
    )
    return tokenizer.to_str()
