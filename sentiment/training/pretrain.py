"""Training a language model, from scratch or from an earlier one."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import keras
from tqdm.auto import tqdm

from sentiment.bundled import resolve
from sentiment.config import PretrainRunConfig
from sentiment.data.corpus import (
    Corpus,
    EncodedDocuments,
    encode_documents,
    load_corpus,
)
from sentiment.data.masking import MaskedTokenPlan
from sentiment.data.pipeline import BatchPlan, NextTokenPlan
from sentiment.errors import InputError
from sentiment.evaluation import plots
from sentiment.models.backbones import kind_of, kind_of_architecture
from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.fast_tokenizer import FastTokenizer
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.huggingface import load_masked_head
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.packed_language_model import (
    PackedLanguageModel,
    save_language_model,
)
from sentiment.models.packed_masked_lm import PackedMaskedLM
from sentiment.models.packed_text_classifier_preprocessor import (
    DEFAULT_SEQUENCE_LENGTH,
)
from sentiment.models.presets import load_backbone
from sentiment.runs.files import (
    CONFIG_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    PLOTS_FOLDER,
    PRESET_FOLDER,
)
from sentiment.runs.history import write_history
from sentiment.runs.identity import identity
from sentiment.runs.versions import versions
from sentiment.runs.workdir import Workdir
from sentiment.runtime.process import prepare_process
from sentiment.training.build import check_fresh, make_backbone, make_tokenizer
from sentiment.training.devices import device_name, sharding_scope
from sentiment.training.optimizers import make_optimizer
from sentiment.training.resumable_run import OnUpdate, ResumableRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PretrainingResult:
    """What `pretrain` leaves in memory.

    Attributes:
        model: the language model.
        tokenizer: its tokenizer.
        metrics: what `metrics.json` holds.
        history: one list of values per logged name, as in `history.csv`.
    """

    model: PackedLanguageModel
    tokenizer: ByteLevelGPT2Tokenizer | FastTokenizer
    metrics: dict
    history: dict[str, list[float]]


class PretrainingWorkdir(Workdir):
    """The results of a pre-training run, and its checkpoints on the way."""

    results = (PRESET_FOLDER, CONFIG_FILE, HISTORY_FILE, PLOTS_FOLDER, METRICS_FILE)

    def save(self, config, model, tokenizer, metrics, history):
        """Saves everything and moves it to its place; checkpoints go.

        Raises:
            InputError: it cannot be written, as on a full disk.
        """
        with self.writing():
            self.clear_staging()
            (self.staging / PLOTS_FOLDER).mkdir()
            self.write_config_and_metrics(config, metrics)
            save_language_model(
                model.backbone,
                tokenizer,
                self.staging / PRESET_FOLDER,
                lowercase=config.backbone.lowercase,
            )
            write_history(history, self.staging / HISTORY_FILE)
            plots.plot_perplexity(
                history, self.staging / PLOTS_FOLDER / "perplexity.png"
            )
            self.publish()


def pretrain(
    config: PretrainRunConfig,
    workdir: str | Path,
    overwrite: bool = False,
    on_update: OnUpdate | None = None,
) -> PretrainingResult:
    """Trains a language model, causal or masked, and saves it to `workdir`.

    The folder then holds `preset/`, `metrics.json`, `history.csv`, `config.cfg` and
    `plots/`. Until then it holds checkpoints, from which the same call goes on; the
    result is the same, bit for bit, as that of a run that was never interrupted, unless
    its loss diverges.

    Args:
        config: what to train on, what and how.
        workdir: folder for checkpoints and results; made if missing.
        overwrite: whether to start anew and replace what is there.
        on_update: is called with the number of updates made, after each of them and
            before a checkpoint is written. May raise to stop.

    Raises:
        InputError: anything the user can mend: settings, text, preset, a finished
            run or checkpoints of another one in `workdir`, a loss that diverges.
    """
    prepare_process(config.speed)
    with PretrainingWorkdir(workdir).in_use(overwrite) as folder:
        return _pretrain(config, folder, on_update)


def _pretrain(
    config: PretrainRunConfig,
    folder: PretrainingWorkdir,
    on_update: OnUpdate | None,
) -> PretrainingResult:
    keras.utils.set_random_seed(config.seed)
    training = config.training
    with sharding_scope(training):
        parts = _load_parts(config)
        corpus = load_corpus(config.corpus, config.seed, config.backbone.lowercase)
        _log_corpus(corpus)
        backbone, tokenizer = parts or _make_parts(config, corpus)
        row_length = _row_length(config, backbone)
        train, validation = (
            encode_documents(tokenizer, documents, row_length, config.speed.cache_dir)
            for documents in (corpus.train, corpus.validation)
        )
        plan = _plan(config, backbone, tokenizer, train, row_length)
        model = _model(config, backbone)
        model.speed = config.speed
        num_updates = plan.num_batches * training.epochs
        model.compile(
            make_optimizer(
                training, kind_of(backbone), backbone.num_layers, num_updates
            ),
            loss=None,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
        )
        run = _Run(
            config, model, tokenizer, plan, validation, folder.checkpoints, on_update
        )
        run.train()
        device = device_name()
    state, history = run.state, run.state.history
    metrics = {
        "validation": _scores(model, history["val_loss"][-1], validation),
        "corpus": {
            "num_train_documents": len(corpus.train),
            "num_validation_documents": len(corpus.validation),
            "num_excluded": corpus.num_excluded,
            "num_repeated": corpus.num_repeated,
            "num_skipped_rows": corpus.num_skipped_rows,
            "num_train_tokens": len(train.tokens.flat),
        },
        "run": {
            "seed": config.seed,
            "versions": versions(),
            "device": device,
            "seconds": round(state.seconds, 1),
            "num_updates": num_updates,
            "num_recoveries": state.num_recoveries,
            "fill_ratio": plan.fill_ratio,
            "row_length": row_length,
            "num_parameters": model.count_params(),
        },
    }
    folder.save(config, model, tokenizer, metrics, history)
    return PretrainingResult(model, tokenizer, metrics, history)


class _Run(ResumableRun):
    """One run of `pretrain`, whose sections go from one checkpoint to the next."""

    counts_epochs = False

    def __init__(
        self, config, model, tokenizer, plan, validation, checkpoints, on_update
    ):
        training = config.training
        super().__init__(
            model,
            training,
            plan,
            validation,
            training.checkpoint_every,
            identity(config, tokenizer.fingerprint, plan.examples, validation),
            checkpoints,
            on_update=on_update,
        )

    def train(self):
        tokens = self.plan.examples.num_targets / self.plan.num_batches
        with _progress(self.num_updates, 0, tokens) as self.bar:
            super().train()

    def callbacks(self, step):
        return [_Progress(self.bar, self.section, step)]

    def history_row(self, logs):
        done = self.state.done
        documents = self.validation_plan.examples
        scores = _scores(self.model, logs["val_loss"], documents)
        text = (
            f"update {done:,}: loss {logs['loss']:.4f}, validation perplexity "
            f"{scores['perplexity']:.2f}"
        )
        row = {
            "update": done,
            "loss": logs["loss"],
            "val_loss": logs["val_loss"],
            "val_perplexity": scores["perplexity"],
        }
        if "bits_per_byte" in scores:
            text += f", {scores['bits_per_byte']:.4f} bits per byte"
            row["val_bits_per_byte"] = scores["bits_per_byte"]
        logger.info(text)
        return row


class _Progress(keras.callbacks.Callback):
    """A progress bar that counts real tokens and sometimes shows the loss.

    Args:
        bar: of the whole run.
        section: updates in each of Keras' epochs.
        first_step: updates of the first epoch that were made before this `fit`.
    """

    def __init__(self, bar, section, first_step, every=8):
        super().__init__()
        self.bar, self.section, self.every = bar, section, every
        self.first_step = first_step

    def on_epoch_begin(self, epoch, logs=None):
        done = epoch * self.section + self.first_step
        self.first_step = 0
        if done != self.bar.n:  # The run goes on, or went back.
            self.bar.initial = self.bar.n = self.bar.last_print_n = done

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every == 0:
            self.bar.set_postfix(loss=f"{float(logs['loss']):.4f}", refresh=False)
        self.bar.update(1)


def _progress(total: int, done: int, tokens_per_update: float):
    """A bar whose unit is real tokens."""
    return _TokenBar(
        tokens_per_update,
        total=total,
        initial=done,
        desc="Pre-training",
        bar_format="{desc}: {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}, "
        "{tokens_per_second}{postfix}",
    )


class _TokenBar(tqdm):
    """Counts updates, shows tokens a second."""

    def __init__(self, tokens_per_update, *args, **kwargs):
        self.tokens_per_update = tokens_per_update
        super().__init__(*args, **kwargs)

    @property
    def format_dict(self):
        shown = super().format_dict
        rate = shown["rate"]
        if not rate and shown["elapsed"]:
            rate = (self.n - self.initial) / shown["elapsed"]
        tokens = (rate or 0) * self.tokens_per_update
        shown["tokens_per_second"] = f"{tokens:,.0f} tokens/s"
        return shown


def _load_parts(config: PretrainRunConfig):
    """Backbone and tokenizer of a preset; `None` if they are to be made.

    Before text is read, for loading can fail.
    """
    backbone = config.backbone
    if backbone.preset:
        parts = load_backbone(backbone, config.training.dtype)
        _check_objective(config, kind_of(parts[0]))
        if kind_of(parts[0]).objective == "mlm":
            _mask_id(*parts)
        return parts
    _check_objective(config, kind_of_architecture(backbone.architecture))
    check_fresh(backbone)
    return None


def _check_objective(config: PretrainRunConfig, kind: BackboneKind):
    wanted = config.training.objective
    if not kind.objective:
        raise InputError(
            f"A {kind.backbone_class.__name__} has no objective that is known here, so "
            "it cannot be pre-trained further; `sentiment train` fine-tunes it."
        )
    if wanted not in ("auto", kind.objective):
        raise InputError(
            f"A {kind.backbone_class.__name__} learns with --objective="
            f"{kind.objective}. Received: --objective={wanted}."
        )


def _mask_id(backbone, tokenizer) -> int:
    """The token that hides others.

    A byte-level BPE has none; a backbone made for it has one token more.
    """
    known = kind_of(backbone).vocabulary_size(backbone)
    is_fast = isinstance(tokenizer, FastTokenizer)
    mask_id = tokenizer.mask_id if is_fast else tokenizer.vocabulary_size()
    if mask_id is None or mask_id >= known:
        raise InputError(
            "--objective=mlm hides tokens behind a mask token, and the preset's "
            f"tokenizer of {tokenizer.vocabulary_size():,} tokens has none."
        )
    return mask_id


def _plan(config, backbone, tokenizer, documents, row_length) -> BatchPlan:
    training = config.training
    shape = {
        "examples": documents,
        "batch_rows": training.batch_size * training.gradient_accumulation_steps,
        "row_length": row_length,
        "seed": config.seed,
    }
    if kind_of(backbone).objective != "mlm":
        return NextTokenPlan(**shape)
    return MaskedTokenPlan(
        **shape,
        mask_id=_mask_id(backbone, tokenizer),
        vocabulary_size=tokenizer.vocabulary_size(),
        mask_share=training.mask_share,
        special_ids=(*tokenizer.start_ids, *tokenizer.end_ids),
    )


def _model(config: PretrainRunConfig, backbone) -> PackedLanguageModel:
    if kind_of(backbone).objective != "mlm":
        return PackedCausalLM(backbone)
    model = PackedMaskedLM(backbone)
    preset = config.backbone.preset
    head = load_masked_head(resolve(preset)) if preset else None
    if head is not None:
        model.set_head(head)
    return model


def _make_parts(config: PretrainRunConfig, corpus: Corpus):
    tokenizer = make_tokenizer(config.backbone, corpus.train, config.speed.cache_dir)
    kind = kind_of_architecture(config.backbone.architecture)
    num_special = int(kind.objective == "mlm")  # the mask
    dtype = config.training.dtype
    return make_backbone(config.backbone, tokenizer, dtype, num_special), tokenizer


def _row_length(config: PretrainRunConfig, backbone) -> int:
    positions = kind_of(backbone).max_length(backbone)
    wanted = config.backbone.sequence_length
    if wanted > positions:
        raise InputError(
            f"--sequence_length={wanted} is beyond the backbone's {positions} "
            "positions, which would give NaN."
        )
    return wanted or min(DEFAULT_SEQUENCE_LENGTH, positions)


def _log_corpus(corpus: Corpus):
    logger.info(
        f"{len(corpus.train):,} documents to learn from, {len(corpus.validation):,} "
        f"for validation; left out: {corpus.num_excluded:,} that are test texts, "
        f"{corpus.num_repeated:,} repeated."
    )


def _scores(
    model: PackedLanguageModel, loss: float, documents: EncodedDocuments
) -> dict:
    """Perplexity, and of causal models bits per byte, which compare over tokenizers."""
    scores = {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),  # beyond, no float holds it
    }
    if isinstance(model, PackedMaskedLM):  # It has predicted some of the tokens alone.
        return scores
    bits = loss * documents.num_targets / math.log(2)
    return {
        **scores,
        "bits_per_byte": bits / documents.num_bytes,
        "num_tokens": documents.num_targets,
        "num_bytes": documents.num_bytes,
    }
