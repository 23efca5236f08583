"""Scores a trained classifier on labelled data."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
