"""optax optimizers inside `keras.Model.fit`."""

import jax
import jax.numpy as jnp
import keras
import optax
from optax.contrib import MuonDimensionNumbers

from sentiment.config import OptimizationConfig
from sentiment.models.backbones.kind import BackboneKind

SGD_MOMENTUM = 0.9
# Gives Muon's updates the root mean square of Adam's, so that one learning
# rate fits both (Liu et al. 2025, https://arxiv.org/abs/2502.16982).
MUON_CONSISTENT_RMS = 0.2


def warmup_cosine(
    peak: float, num_updates: int, warmup_ratio: float
) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from 0, then half a cosine down to 0.

    With w warm-up updates of n: rate(t) = peak t / w for t < w, and
    peak (1 + cos(pi (t - w) / (n - w))) / 2 for w <= t <= n, 0 beyond.

    Args:
        peak: learning rate at the end of the warm-up.
        num_updates: optimizer updates of the whole run.
        warmup_ratio: share of them that is warm-up, rounded down; at least one
            update is left to the cosine.
    """
    warmup = min(int(warmup_ratio * num_updates), num_updates - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=num_updates - warmup,  # Keras counts from the end of the warm-up.
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


class OptaxOptimizer(keras.optimizers.Optimizer):
    """Runs an optax transformation as a Keras optimizer.

    optax sees the parameters as one dict from variable path to value, so masks
    and layer-wise rules are written over paths.

    Args:
        transformation: an `optax.GradientTransformation` built for a learning
            rate of 1; its updates are multiplied by `learning_rate`.
        learning_rate: float or `LearningRateSchedule` over updates.
    """

    def __init__(self, transformation, learning_rate, name="optax", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.transformation = transformation

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        # Lowered when training diverges; in the state, so that it is compiled once.
        self.rate_factor = self.add_variable(
            (), initializer="ones", dtype="float32", name="rate_factor"
        )
        state = self.transformation.init({v.path: v.value for v in variables})
        leaves, self._state_structure = jax.tree.flatten(state)
        self._state_variables = []
        for i, leaf in enumerate(leaves):
            variable = self.add_variable(
                leaf.shape, dtype=str(leaf.dtype), name=f"state_{i}"
            )
            variable.assign(leaf)
            self._state_variables.append(variable)

    def finalize_variable_values(self, var_list):
        """Does nothing: weights were averaged where they were validated."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        paths = [v.path for v in trainable_variables]
        state = jax.tree.unflatten(
            self._state_structure, [v.value for v in self._state_variables]
        )
        updates, state = self.transformation.update(
            dict(zip(paths, grads, strict=True)),
            state,
            {v.path: v.value for v in trainable_variables},
        )
        learning_rate = learning_rate * self.rate_factor
        for variable, path in zip(trainable_variables, paths, strict=True):
            variable.assign_add(learning_rate * updates[path])
        for variable, leaf in zip(
            self._state_variables, jax.tree.leaves(state), strict=True
        ):
            variable.assign(leaf)


def make_optimizer(
    config: OptimizationConfig,
    kind: BackboneKind,
    num_layers: int,
    num_updates: int,
    unfreeze_updates: int = 0,
    ema_momentum: float = 0.0,
) -> OptaxOptimizer:
    """The optimizer of a run: clipping, update rule, layer-wise rates, schedule.

    Args:
        config: the training settings.
        kind: of the backbone; knows its layers by the paths of their variables.
        num_layers: blocks of the backbone.
        num_updates: optimizer updates of the whole run.
        unfreeze_updates: updates after which the next layer below learns, too; 0:
            all learn from the start.
        ema_momentum: of an average of the weights over the updates; 0: none.
    """
    rules = [_update_rule(config, kind)]
    if config.clip_norm:
        rules.insert(0, optax.clip_by_global_norm(config.clip_norm))
    if config.layerwise_lr_decay != 1.0:
        rules.append(_layerwise(config.layerwise_lr_decay, num_layers, kind))
    if unfreeze_updates:
        rules.append(gradual_unfreezing(unfreeze_updates, num_layers, kind))
    return OptaxOptimizer(
        optax.chain(*rules),
        warmup_cosine(config.learning_rate, num_updates, config.warmup_ratio),
        use_ema=ema_momentum > 0,
        ema_momentum=ema_momentum,
    )


def _update_rule(
    config: OptimizationConfig, kind: BackboneKind
) -> optax.GradientTransformation:
    decay = config.weight_decay
    if config.optimizer == "adamw":
        return optax.adamw(1.0, weight_decay=decay, mask=is_decayed)
    if config.optimizer == "lion":
        return optax.lion(1.0, weight_decay=decay, mask=is_decayed)
    if config.optimizer == "muon":
        # optax's own decay leaves out the kernels that Muon leaves to Adam. Updates
        # are negative by now, and so is the decay.
        return optax.chain(
            optax.contrib.muon(
                1.0,
                consistent_rms=MUON_CONSISTENT_RMS,
                muon_weight_dimension_numbers=_muon_dimensions(kind),
            ),
            optax.add_decayed_weights(-decay, is_decayed),
        )
    # Decoupled as in SGDW (Loshchilov & Hutter 2019): after the momentum.
    return optax.chain(
        optax.trace(SGD_MOMENTUM),
        optax.add_decayed_weights(decay, is_decayed),
        optax.scale(-1.0),
    )


def is_decayed(params: dict) -> dict:
    """Which variables weight decay applies to: kernels and their adapters alone."""
    return {
        path: path.endswith(("kernel", "lora_kernel_a", "lora_kernel_b"))
        for path in params
    }


def _muon_dimensions(kind: BackboneKind):
    """Muon takes the blocks' matrices; Adam the rest (Jordan 2024)."""

    def dimensions(path):
        axes = kind.matrix_axes(path)
        return axes and MuonDimensionNumbers(*axes)

    return lambda params: {path: dimensions(path) for path in params}


def _layerwise(
    decay: float, num_layers: int, kind: BackboneKind
) -> optax.GradientTransformation:
    """Multiplies updates by decay ** (layers between the variable and the head)."""

    def scale(updates, params):
        return {
            path: update * decay ** (num_layers + 1 - kind.depth(path, num_layers))
            for path, update in updates.items()
        }

    return optax.stateless(scale)


def gradual_unfreezing(
    updates: int, num_layers: int, kind: BackboneKind
) -> optax.GradientTransformation:
    """Lets lower layers start to learn later (Howard & Ruder 2018, section 3.3).

    The head learns from the start, the block d layers below it after d times
    `updates`. This comes last in a chain, so that moments are already being averaged
    for layers that do not learn yet, and their first update is not too great.
    """

    def init(params):
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(changes, state, params=None):
        def is_free(path):
            layers_above = num_layers + 1 - kind.depth(path, num_layers)
            return state.count >= updates * layers_above

        changes = {
            path: jnp.where(is_free(path), change, jnp.zeros_like(change))
            for path, change in changes.items()
        }
        return changes, optax.ScaleByScheduleState(state.count + 1)

    return optax.GradientTransformation(init, update)
