"""Classifies raw texts, from the command line or a file.

sentiment predict --model=runs/imdb --text="Not bad at all!"
sentiment predict --model=runs/imdb --input=new.csv --output=scored.csv
"""

from sentiment.config import PredictCommand
from sentiment.runs.files import is_adapter

CONFIG = PredictCommand


def run(command: PredictCommand):
    """Predicts texts or a file."""
    from sentiment.runtime.light_imports import import_keras_for_prediction

    import_keras_for_prediction(may_download=any(map(is_adapter, command.model)))

    from sentiment.cli.tables import print_predictions
    from sentiment.inference.files import predict_file
    from sentiment.inference.loading import load_classifiers
    from sentiment.inference.rows import label_rows

    classifier = load_classifiers(command.model, command.speed)
    if command.text:
        predictions = label_rows(classifier, command.text, command.batch_size or None)
        print_predictions(command.text, predictions)
    else:
        predicted = predict_file(
            classifier,
            command.input,
            command.output,
            batch_size=command.batch_size or None,
            overwrite=command.overwrite,
            escape_formulas=command.escape_formulas,
            **command.reading(),
        )
        for row in predicted.first_bad_rows:
            print(f"no label: {row}")
        unlabelled = {
            "without text": predicted.num_without_text,
            "that cannot be read": predicted.num_bad_rows,
        }
        counts = [f"{count:,} {why}" for why, count in unlabelled.items() if count]
        without = f"; no label for {' and '.join(counts)}" if counts else ""
        print(f"{predicted.num_rows:,} rows written to {command.output}{without}.")
