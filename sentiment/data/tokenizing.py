"""Token ids of many texts, made once and kept for the next run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from sentiment.data.cache import ArrayCache, fingerprint
from sentiment.data.packing import RaggedTokens

CHUNK = 1000


def cached_tokens(
    texts: list[str],
    encode: Callable[[list[str]], tuple[RaggedTokens, int]],
    cache_dir: str,
    *about: str | bytes,
) -> tuple[RaggedTokens, int]:
    """Tokenizes texts, with a progress bar for many, or finds what an earlier run made.

    Args:
        texts: what is read.
        encode: from some texts to their tokens, and how many tokens it left out.
        cache_dir: folder that keeps the tokens; empty: nothing is kept.
        *about: everything beside the texts that the tokens depend on.

    Returns:
        `(tokens, num_dropped)`.
    """
    cache = ArrayCache(cache_dir and Path(cache_dir) / "tokens")
    key = cache_dir and fingerprint(*about, texts)
    found = cache.load(key, "flat", "offsets", "num_dropped")
    if found is not None:
        tokens = RaggedTokens(found["flat"].astype(np.int32), found["offsets"])
        return tokens, int(found["num_dropped"])
    starts = range(0, len(texts), CHUNK)
    parts = [
        encode(texts[start : start + CHUNK])
        for start in tqdm(starts, "Tokenizing", unit="k texts", disable=len(starts) < 5)
    ]
    tokens = RaggedTokens.concatenate([tokens for tokens, _ in parts])
    num_dropped = sum(dropped for _, dropped in parts)
    # A vocabulary of up to 65,536 fits two bytes.
    flat = tokens.flat.astype(np.min_scalar_type(tokens.flat.max(initial=0)))
    arrays = {"flat": flat, "offsets": tokens.offsets, "num_dropped": num_dropped}
    cache.save(key, arrays)
    return tokens, num_dropped
