"""Scores a trained classifier on labelled data."""

import json

from flags import parse_evaluate, run_script


def main(command):
    """Scores the model on one split."""
    from sentiment.data.table_writer import check_target, write_whole
    from sentiment.evaluation.evaluate import evaluate_split
    from sentiment.evaluation.summary import print_scores
    from sentiment.serving.loading import load_classifier

    if command.output:
        check_target(command.output, command.overwrite)
    classifier = load_classifier(command.model, command.speed)
    metrics = evaluate_split(
        classifier,
        command.data,
        command.split,
        command.seed,
        command.batch_size or None,
    )
    print_scores(metrics, command.split.capitalize())
    if command.output:
        write_whole(command.output, json.dumps(metrics, indent=2) + "\n")


if __name__ == "__main__":
    run_script(parse_evaluate, main)
