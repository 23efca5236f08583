"""Tells whether this machine is ready to train, in a line for each thing."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]])
