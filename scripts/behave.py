"""Looks how a classifier answers texts whose answer is not in doubt."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["behave", *sys.argv[1:]])
