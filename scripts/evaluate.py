"""Scores a trained classifier on labelled data."""

import json
from pathlib import Path

from flags import parse_evaluate, run_script


def main(command):
    """Scores the model on one split."""
    from sentiment.errors import InputError
    from sentiment.evaluation.evaluate import evaluate_split
    from sentiment.evaluation.summary import print_scores
    from sentiment.serving.loading import load_classifier

    output = Path(command.output) if command.output else None
    if output and (output.is_dir() or not output.parent.is_dir()):
        raise InputError(f"--output must be a file in a folder there is: {output}.")
    classifier = load_classifier(command.model)
    metrics = evaluate_split(
        classifier, command.data, command.split, command.seed, command.batch_size
    )
    print_scores(metrics, command.split.capitalize())
    if output:
        output.write_text(json.dumps(metrics, indent=2) + "\n")


if __name__ == "__main__":
    run_script(parse_evaluate, main)
