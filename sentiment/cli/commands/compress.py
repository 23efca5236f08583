"""Makes a trained model smaller, and measures what that costs.

sentiment compress --model=runs/imdb --method=int8 --dataset=imdb_reviews \
    --label_names=negative,positive --workdir=runs/imdb_int8
"""

from sentiment.config import CompressCommand

CONFIG = CompressCommand


def run(command: CompressCommand):
    """Compresses, measures and saves."""
    from sentiment.compression.compress import compress
    from sentiment.evaluation.summary import print_compression

    metrics = compress(command.run, command.workdir, command.overwrite)
    print_compression(metrics, command.workdir)
