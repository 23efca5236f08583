"""Compares runs on the test texts that they share.

python scripts/compare.py runs/nb_svm runs/imdb --output=runs/compared.png
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
