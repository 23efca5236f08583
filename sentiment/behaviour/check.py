"""Whether a classifier behaves."""

from collections.abc import Callable, Sequence

import numpy as np

from sentiment.behaviour.rules import predicted
from sentiment.behaviour.suite import Behaviour, Suite
from sentiment.errors import InputError
from sentiment.evaluation.metrics import wilson_interval
from sentiment.inference.polarity import Polarity


def check_behaviour(
    predict: Callable[[list[str]], np.ndarray],
    polarity: Polarity,
    suite: Suite,
    num_failures: int = 3,
) -> dict:
    """What a model does with each case of a suite.

    Args:
        predict: gives class probabilities (texts, classes), as a classifier's.
        polarity: what its classes mean.
        suite: the cases. Those whose answer must be neutral are left out where no
            class is.
        num_failures: so many of the cases that fail are shown of each behaviour.

    Returns:
        A dict that JSON can hold: `suite`, `meanings`, `all`, `sections` and
        `behaviours`. Each of these has `num_cases`, `num_passed`, `share` and its 95%
        `interval`; a behaviour has `failures` besides, and what was `expected`. Of
        `all`, `share` is the mean over sections, so that none counts for more because
        it has more cases, and there is no interval.

    Raises:
        InputError: all answers must be neutral, and no class is.
    """
    behaviours = [b for b in suite.behaviours if b.rule.fits(polarity.has_neutral)]
    if not behaviours:
        raise InputError(
            f"All tests of the suite {suite.name} want neutral answers; the model's "
            f"classes mean {', '.join(polarity.meanings)}."
        )
    texts = list(dict.fromkeys(t for b in behaviours for case in b.cases for t in case))
    folded = dict(zip(texts, polarity.fold(predict(texts)), strict=True))
    checked = [_check(behaviour, folded, num_failures) for behaviour in behaviours]
    sections = {
        name: _share([one for one in checked if one["section"] == name])
        for name in dict.fromkeys(one["section"] for one in checked)
    }
    total = _share(list(sections.values()))
    del total["interval"]
    total["share"] = float(np.mean([one["share"] for one in sections.values()]))
    return {
        "suite": suite.name,
        "meanings": list(polarity.meanings),
        "all": total,
        "sections": sections,
        "behaviours": checked,
    }


def _check(behaviour: Behaviour, folded: dict, num_failures: int) -> dict:
    failed = []
    for case in behaviour.cases:
        answers = np.stack([folded[text] for text in case])
        if not behaviour.rule.holds(answers):
            failed.append({"texts": list(case), "predicted": predicted(answers)})
    num_cases = len(behaviour.cases)
    counted = {"num_cases": num_cases, "num_passed": num_cases - len(failed)}
    return {
        "section": behaviour.section,
        "name": behaviour.name,
        "expected": str(behaviour.rule),
        **_share([counted]),
        "failures": failed[:num_failures],
    }


def _share(parts: Sequence[dict]) -> dict:
    num_cases = sum(part["num_cases"] for part in parts)
    num_passed = sum(part["num_passed"] for part in parts)
    return {
        "num_cases": num_cases,
        "num_passed": num_passed,
        "share": num_passed / num_cases,
        "interval": list(wilson_interval(num_passed, num_cases)),
    }
