"""`tokenizer.json` for vocabularies in older formats, built by `tokenizers` itself."""

from collections.abc import Sequence

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
    add_prefix_space: bool = False,
) -> str:
    """Byte-level BPE with GPT-2's split, as of RoBERTa (Liu et al. 2019).

    Args:
        vocabulary: ids by token.
        merges: rules, `"a b"`, the first ones first.
        start: token before each text.
        end: token after each text; empty: none.
        special: further special tokens.
        add_prefix_space: whether the first word is read as if a space were before it.
    """
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=add_prefix_space
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _framed(tokenizer, vocabulary, start, end, special)


def unigram_definition(
    proto: bytes, start: str, end: str, special: Sequence[str], is_xlm_roberta: bool
) -> str:
    """A unigram model of SentencePiece's (Kudo 2018), as of ALBERT and XLM-RoBERTa.

    Args:
        proto: the content of its `.model` file.
        start: token before each text.
        end: token after each text.
        special: further special tokens.
        is_xlm_roberta: whether ids are those of fairseq, which has a token more at the
            beginning, and a mask at the end. Otherwise text is lowercased and loses its
            accents, as ALBERT reads it.

    Raises:
        InputError: it is no such model.
    """
    from sentencepiece import sentencepiece_model_pb2  # Few models need it.

    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(proto)
    except Exception as error:  # of protobuf's own, by implementation
        raise InputError(f"Its SentencePiece model is damaged: {error}.") from error
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    if model.trainer_spec.model_type != model.trainer_spec.UNIGRAM or not pieces:
        raise InputError("Its SentencePiece model is no unigram model.")
    unknown = model.trainer_spec.unk_id
    if is_xlm_roberta:
        first = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
        pieces = [*first, *pieces[3:], ("<mask>", 0.0)]
        unknown = 3
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown))
    steps = []
    if not is_xlm_roberta:
        quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        accents = [normalizers.NFKD(), normalizers.StripAccents()]
        steps = [*quotes, *accents, normalizers.Lowercase()]
    if model.normalizer_spec.precompiled_charsmap:
        charsmap = model.normalizer_spec.precompiled_charsmap
        steps.append(normalizers.Precompiled(charsmap))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    vocabulary = {token: i for i, (token, _) in enumerate(pieces)}
    return _framed(tokenizer, vocabulary, start, end, special)


def _framed(tokenizer, vocabulary, start: str, end: str, special) -> str:
    tokens = [token for token in (start, end, *special) if token in vocabulary]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
    frame = [token for token in (start, end) if token]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([start, "$A", end]).strip(),
        special_tokens=[(token, vocabulary[token]) for token in dict.fromkeys(frame)],
    )
    return tokenizer.to_str()
