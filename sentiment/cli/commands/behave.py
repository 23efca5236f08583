"""Looks how a classifier answers texts whose answer is not in doubt.

sentiment behave --model=runs/imdb
"""

import json

from sentiment.cli.flagfiles import found_flagfile
from sentiment.config import BehaveCommand

CONFIG = BehaveCommand


def run(command: BehaveCommand):
    """Prints what share of each behaviour the model has, or writes the cases."""
    from sentiment.behaviour.check import check_behaviour
    from sentiment.behaviour.suite import read_suite, write_cases
    from sentiment.evaluation.summary import print_behaviour
    from sentiment.inference.loading import load_classifiers
    from sentiment.inference.polarity import Polarity
    from sentiment.runtime.outputs import check_is_no_input, check_target, write_whole

    if command.output:
        check_target(command.output, command.overwrite)
    suite = read_suite(found_flagfile(command.suite))
    if command.cases:
        check_is_no_input(command.cases, [found_flagfile(command.suite)])
        count = write_cases(suite, command.cases, command.overwrite)
        print(f"{count:,} texts written to {command.cases}.")
        return
    classifier = load_classifiers(command.model, command.speed)
    polarity = Polarity.of(classifier.label_names, command.polarity)
    found = check_behaviour(
        lambda texts: classifier.predict(texts, command.batch_size or None),
        polarity,
        suite,
        command.failures,
    )
    print_behaviour(found)
    if command.output:
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        write_whole(command.output, text, command.overwrite)
