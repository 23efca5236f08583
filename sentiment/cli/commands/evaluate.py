"""Scores a trained classifier on labelled data.

sentiment evaluate --model=runs/imdb --flagfile=runs/imdb/data.cfg --split=test
"""

import json

from sentiment.config import EvaluateCommand

CONFIG = EvaluateCommand


def run(command: EvaluateCommand):
    """Scores the model on one split."""
    from sentiment.evaluation.evaluate import evaluate_split
    from sentiment.evaluation.summary import print_scores
    from sentiment.inference.loading import load_classifiers
    from sentiment.runtime.outputs import check_target, write_whole

    if command.output:
        check_target(command.output, command.overwrite)
    classifier = load_classifiers(command.model, command.speed)
    metrics = evaluate_split(
        classifier,
        command.data,
        command.split,
        command.seed,
        command.batch_size or None,
        command.data_classes_only,
    )
    print_scores(metrics, command.split.capitalize())
    if command.output:
        write_whole(
            command.output, json.dumps(metrics, indent=2) + "\n", command.overwrite
        )
