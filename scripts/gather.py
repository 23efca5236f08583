"""Makes one table of several data sets and files, without texts to be tested on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentiment.cli.main import main

if __name__ == "__main__":
    main(["gather", *sys.argv[1:]])
