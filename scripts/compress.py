"""Makes a trained model smaller.

python scripts/compress.py --model=runs/imdb --method=int8 --dataset=imdb_reviews \
    --label_names=negative,positive --workdir=runs/imdb_int8
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["compress", *sys.argv[1:]])
