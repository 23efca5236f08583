"""Puts a preset into the package, at half precision.

python scripts/bundle.py --preset=runs/imdb_mini/preset --name=imdb_mini_sentiment
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["bundle", *sys.argv[1:]])
