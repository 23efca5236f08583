"""How it is trained, and how fast."""

import os
from dataclasses import dataclass

from sentiment.config.monitors import MONITORS
from sentiment.config.settings import COUNT, LENGTH, CheckedConfig, setting
from sentiment.errors import InputError

OPTIMIZERS = ("adamw", "lion", "muon", "sgd")
ADVERSARIES = ("none", "fgm", "pgd", "vat")
DTYPES = ("float32", "mixed_bfloat16")
LORA_DEFAULT_TARGETS = ("query", "value")  # of the paper
LORA_TARGETS = (
    "query",
    "key",
    "value",
    "output",
    "gate",  # where the feed-forward layer has one
    "intermediate",
    "feedforward",
)
MAX_CLASS_WEIGHT = 1_000_000
DEFAULT_CACHE_DIR = os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sentiment"
)


@dataclass(frozen=True)
class OptimizationConfig(CheckedConfig):
    """Optimizer, schedule, checkpoints, precision and devices."""

    batch_size: int = setting(
        16,
        "Rows in a micro-batch; a packed row holds several reviews.",
        at_least=1,
        at_most=65_536,
    )
    epochs: int = setting(
        3,
        "Greatest number of passes over the training data.",
        at_least=1,
        at_most=10_000,
    )
    optimizer: str = setting("adamw", "Update rule, from optax.", choices=OPTIMIZERS)
    learning_rate: float = setting(
        2e-5, "Peak learning rate, after the warm-up.", above=0, at_most=100
    )
    warmup_ratio: float = setting(
        0.1, "Share of the updates in which the rate rises.", at_least=0, at_most=1
    )
    weight_decay: float = setting(
        0.01,
        "Decoupled weight decay of kernels; biases, norms and embeddings have none.",
        at_least=0,
        at_most=100,
    )
    layerwise_lr_decay: float = setting(
        1.0,
        "Factor on the learning rate for each layer further below the head (ULMFiT, "
        "ELECTRA).",
        above=0,
        at_most=1,
    )
    clip_norm: float = setting(
        1.0,
        "Global norm that gradients are clipped to; 0: no clipping.",
        at_least=0,
        at_most=1e6,
    )
    gradient_accumulation_steps: int = setting(
        1, "Micro-batches in one optimizer update.", at_least=1, at_most=65_536
    )
    checkpoint_every: int = setting(
        500,
        "Updates between two checkpoints. Runs of more updates also write one after "
        "each epoch, and all runs every ten minutes. The same command continues from "
        "the last one.",
        at_least=1,
        at_most=COUNT,
    )
    max_recoveries: int = setting(
        2,
        "How often training may go back to its last checkpoint when the loss diverges. "
        "It then continues with half the learning rate and without those batches.",
        at_least=0,
        at_most=1000,
    )
    dtype: str = setting("float32", "Precision of the backbone.", choices=DTYPES)
    num_devices: int = setting(
        0,
        "Local devices that share each batch; 0: all of them.",
        at_least=0,
        at_most=65_536,
    )


@dataclass(frozen=True)
class TrainingConfig(OptimizationConfig):
    """How a classifier is trained: optimisation, loss, stopping, packing."""

    lm_loss_weight: float = setting(
        0.0,
        "Weight of a language model's loss on the same reviews, beside the "
        "classifier's (GPT-1 took 0.5).",
        at_least=0,
        at_most=1e4,
    )
    unfreeze_epochs: float = setting(
        0.0,
        "Number of epochs after which the next lower layer starts to learn: first the "
        "head alone, then block by block (ULMFiT took 1). 0: all from the start.",
        at_least=0,
        at_most=10_000,
    )
    lora_rank: int = setting(
        0,
        "Freeze the backbone of --preset and train matrices of this rank beside its "
        "kernels (LoRA, Hu et al. 2021); 0: train all weights. With mixed_bfloat16 the "
        "sum of kernel and matrices is rounded in training; at the end they are merged "
        "in float32.",
        at_least=0,
        at_most=65_536,
    )
    lora_alpha: float = setting(
        0.0,
        "The scale of LoRA's matrices is lora_alpha / lora_rank; 0: a scale of 1.",
        at_least=0,
        at_most=1e6,
    )
    lora_targets: tuple[str, ...] = setting(
        LORA_DEFAULT_TARGETS,
        "Comma-separated layers of each block that get LoRA's matrices: "
        f"{', '.join(LORA_TARGETS)}.",
    )
    label_smoothing: float = setting(
        0.0, "Share of the uniform distribution in the labels.", at_least=0, below=1
    )
    class_weight: tuple[str, ...] = setting(
        ("none",),
        "Loss weight of each class: none, balanced (inverse frequency), or a "
        "comma-separated list of numbers, class 0 first.",
    )
    focal_gamma: float = setting(
        0.0,
        "Focal loss (Lin et al. 2017 took 2): the greater, the less those reviews "
        "count that are classified well already; 0: cross-entropy.",
        at_least=0,
        at_most=100,
    )
    ema_momentum: float = setting(
        0.0,
        "Validate, keep and save a moving average of the weights. This is the share of "
        "the average that stays at each update, such as 0.999; 0: no average.",
        at_least=0,
        below=1,
    )
    early_stopping_patience: int = setting(
        2,
        "Stop after this many epochs without a better validation score. The best "
        "epoch's weights are restored in any case.",
        at_least=1,
        at_most=10_000,
    )
    average_best: int = setting(
        1,
        "Average the weights of this many best epochs, if the average is no worse on "
        "the validation data than the best one (a soup, Wortsman et al. 2022).",
        at_least=1,
        at_most=1000,
    )
    monitor: str = setting(
        "accuracy",
        "Validation score that picks the best epoch.",
        choices=tuple(MONITORS),
    )
    calibrate: bool = setting(
        False,
        "After training, divide the logits by the temperature that has the least loss "
        "on the validation data (Guo et al. 2017), so that probabilities come nearer "
        "to how often they are right. No label changes.",
    )
    packing: bool = setting(True, "Let several reviews share a row.")
    row_length: int = setting(
        0,
        "Tokens in a packed row, no fewer than in the longest review as it is read; 0: "
        "the length that costs the least time.",
        at_least=0,
        at_most=LENGTH,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.class_weight not in (("none",), ("balanced",)):
            self.class_weight_values()
        targets = self.lora_targets
        is_default = not self.lora_alpha and targets == LORA_DEFAULT_TARGETS
        if not (self.lora_rank or is_default):
            raise InputError(
                "--lora_alpha and --lora_targets go with --lora_rank. Received: "
                f"lora_rank=0, lora_alpha={self.lora_alpha}, "
                f"lora_targets={','.join(targets)}."
            )
        is_repeated = len(set(targets)) != len(targets)
        if not targets or is_repeated or not set(targets) <= set(LORA_TARGETS):
            raise InputError(
                f"--lora_targets must be some of {', '.join(LORA_TARGETS)}, each once. "
                f"Received: {', '.join(targets) or 'none'}."
            )

    def class_weight_values(self) -> tuple[float, ...]:
        """The weights of an explicit list.

        Raises:
            InputError: it is not a list of numbers above 0.
        """
        try:
            weights = tuple(float(weight) for weight in self.class_weight)
        except ValueError:
            weights = ()
        if not weights or not all(0 < weight <= MAX_CLASS_WEIGHT for weight in weights):
            raise InputError(
                "--class_weight must be none, balanced or a comma-separated list of "
                f"numbers above 0, up to {MAX_CLASS_WEIGHT:g}. Received: "
                f"{','.join(self.class_weight)}."
            )
        return weights


@dataclass(frozen=True)
class AdversarialConfig(CheckedConfig):
    """Small changes of the embeddings that a classifier learns to withstand."""

    adversarial: str = setting(
        "none",
        "Adversarial training: fgm (one step, Miyato et al. 2017), pgd (several, Madry "
        "et al. 2018) or vat (needs no labels, so it also reads --unlabelled_split or "
        "--unlabelled_file).",
        choices=ADVERSARIES,
    )
    adversarial_epsilon: float = setting(
        1.0,
        "Norm of the perturbation of a whole review's embeddings.",
        at_least=0,
        at_most=1e4,
    )
    adversarial_steps: int = setting(3, "Steps of pgd.", at_least=1, at_most=100)
    adversarial_weight: float = setting(
        1.0,
        "Weight of the adversarial loss beside the plain one.",
        at_least=0,
        at_most=1e4,
    )
    adversarial_normalize: bool = setting(
        False,
        "Measure perturbations as if embeddings had variance 1 over the training "
        "tokens, as Miyato et al. do, who take an epsilon of 5.",
    )


@dataclass(frozen=True)
class PretrainingConfig(OptimizationConfig):
    """How a language model is trained."""

    objective: str = setting(
        "auto",
        "What is learned: the next token (causal), or hidden ones (mlm). auto is mlm "
        "for encoders, causal for all others.",
        choices=("auto", "causal", "mlm"),
    )
    mask_share: float = setting(
        0.15, "Share of the tokens that mlm hides.", above=0, below=1
    )
    epochs: int = setting(1, "Passes over the documents.", at_least=1, at_most=10_000)
    learning_rate: float = setting(
        1e-3, "Peak learning rate, after the warm-up.", above=0, at_most=100
    )
    warmup_ratio: float = setting(
        0.01, "Share of the updates in which the rate rises.", at_least=0, at_most=1
    )
    checkpoint_every: int = setting(
        500,
        "Updates between two checkpoints of a longer run; perplexity is measured at "
        "each. All runs also write one every ten minutes. The same command continues "
        "from the last one.",
        at_least=1,
        at_most=COUNT,
    )


@dataclass(frozen=True)
class SpeedConfig(CheckedConfig):
    """Fast paths, which change no prediction, and caches.

    In training all but `remat` and `keep_memory` draw other dropout masks.
    """

    chunked_attention: bool = setting(
        True,
        "Compute attention in chunks of queries, each against the keys up to its end. "
        "Off: all queries against all keys of a row.",
    )
    hash_dropout: bool = setting(
        True, "Draw dropout masks from an integer hash. Off: from JAX's threefry."
    )
    skip_unread: bool = setting(
        True,
        "With --pooling=last or cls, compute the last block at the token that is read "
        "alone. Off: at every token.",
    )
    remat: bool = setting(
        False,
        "Recompute each block in the backward pass instead of keeping its values: "
        "less memory, a quarter more time.",
    )
    keep_memory: bool = setting(
        True,
        "On a CPU, keep freed memory for the next step. Off: give it back to the "
        "operating system, which must clear it again for each step. Either way all "
        "threads share one memory arena, unless MALLOC_ARENA_MAX is set.",
    )
    cache_dir: str = setting(
        DEFAULT_CACHE_DIR,
        "Folder for compiled programs and token ids, which the next run reuses; empty: "
        "nothing is kept.",
        is_path=True,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.remat and not self.hash_dropout:
            raise InputError(
                "--remat needs --hash_dropout: JAX's generator would be drawn twice."
            )
