"""Makes a trained model smaller.

python scripts/compress.py --model=runs/imdb --method=int8 --dataset=imdb_reviews \
    --label_names=negative,positive --workdir=runs/imdb_int8
"""

from flags import parse_compress, run_script


def main(command):
    """Compresses, measures and saves."""
    from sentiment.compression.compress import compress
    from sentiment.evaluation.summary import print_compression

    metrics = compress(command.run, command.workdir, command.overwrite)
    print_compression(metrics, command.workdir)


if __name__ == "__main__":
    run_script(parse_compress, main)
