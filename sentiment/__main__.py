"""`python -m sentiment` is the command line."""

from sentiment.cli.main import main

if __name__ == "__main__":
    main()
