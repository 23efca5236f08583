"""Compares runs on the test texts that they share.

sentiment compare runs/nb_svm runs/imdb --output=runs/compared.png
"""

from sentiment.config import CompareCommand

CONFIG = CompareCommand


def run(command: CompareCommand):
    """Prints a table, draws a chart."""
    from sentiment.evaluation.comparison import compare
    from sentiment.evaluation.plots import plot_comparison
    from sentiment.evaluation.predictions import read_predictions, shortest_names
    from sentiment.evaluation.summary import print_comparison
    from sentiment.runtime.outputs import check_target

    if command.output:
        check_target(command.output, command.overwrite)
    runs = {
        name: read_predictions(path)
        for name, path in shortest_names(command.runs).items()
    }
    compared = compare(runs, command.seed)
    print_comparison(compared)
    if command.output:
        plot_comparison(compared, command.output)
        print(f"Written to {command.output}.")
