"""Pre-trains a language model, from scratch or further.

python scripts/pretrain.py --flagfile=configs/imdb_pretrain.cfg --workdir=runs/lm
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["pretrain", *sys.argv[1:]])
