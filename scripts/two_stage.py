"""Pre-trains a language model on the domain's text, then fine-tunes a classifier.

python scripts/two_stage.py --flagfile=configs/imdb_two_stage.cfg --workdir=runs/imdb2
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["two_stage", *sys.argv[1:]])
