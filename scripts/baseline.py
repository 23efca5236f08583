"""Fits a classical classifier, to measure others against.

python scripts/baseline.py --method=nb_svm --dataset=imdb_reviews --workdir=runs/nb_svm
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["baseline", *sys.argv[1:]])
