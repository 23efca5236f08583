"""Classifies raw texts, from the command line or a file."""

from flags import parse_predict, run_script


def main(command):
    """Predicts texts or a file."""
    from sentiment.serving.loading import load_classifier
    from sentiment.serving.predictor import predict_file, print_predictions

    classifier = load_classifier(command.model, command.speed)
    if command.text:
        print_predictions(classifier, command.text, command.batch_size or None)
    else:
        predict_file(
            classifier,
            command.input,
            command.output,
            text_column=command.text_column,
            batch_size=command.batch_size or None,
            overwrite=command.overwrite,
            skip_bad_rows=command.skip_bad_rows,
        )


if __name__ == "__main__":
    run_script(parse_predict, main)
