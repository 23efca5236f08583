"""Searches for settings and trains a classifier with the best ones.

python scripts/tune.py --flagfile=configs/imdb.cfg --trials=20 --workdir=runs/tuned
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
