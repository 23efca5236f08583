"""Trains a sentiment classifier.

python scripts/train.py --flagfile=configs/imdb.cfg --workdir=runs/imdb
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
