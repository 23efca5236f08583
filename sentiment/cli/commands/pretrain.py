"""Trains a language model, from scratch or from an earlier one.

sentiment pretrain --flagfile=configs/imdb_pretrain.cfg --workdir=runs/lm
"""

from sentiment.config import PretrainCommand

CONFIG = PretrainCommand


def run(command: PretrainCommand):
    """Trains and saves; the same command goes on after an interruption."""
    from sentiment.evaluation.summary import print_pretraining, print_samples
    from sentiment.models.sampling import sample_texts
    from sentiment.training.pretrain import pretrain

    result = pretrain(command.run, command.workdir, command.overwrite)
    print_pretraining(result.metrics, command.workdir)
    if command.sample:
        seed = command.run.seed
        print_samples(
            sample_texts(result.model, result.tokenizer, command.sample, seed)
        )
