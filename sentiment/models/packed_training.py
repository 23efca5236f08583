"""Training over packed rows, whatever the targets are.

A target is what has a loss of its own: a review for a classifier, a token for a
language model. `sample_weight` is 0 where there is none.

Losses are sums over targets, divided once by the number of targets of the optimizer
update. So the gradient does not depend on how targets fall into rows or
micro-batches, and logged losses are means per target. A batch handed to `fit` is the
whole update; the compiled step reads it in `gradient_accumulation_steps` parts.

These are functions, not a base class: Keras rewrites the bases of functional models,
and cannot where two of them meet.
"""

import jax
import jax.numpy as jnp
import keras


def packed_train_step(model, state, data, compute_loss_and_updates=None):
    """One optimizer update: gradients of all micro-batches, then a step.

    Args:
        model: a compiled Keras model with `gradient_accumulation_steps`.
        state: as of `keras.Model.train_step` on JAX.
        data: the batch of the whole update.
        compute_loss_and_updates: what is called for each micro-batch; by default the
            model's method of this name.
    """
    trainable, non_trainable, optimizer_variables, metrics_variables = state
    data = keras.utils.unpack_x_y_sample_weight(data)
    steps = model.gradient_accumulation_steps
    compute = compute_loss_and_updates or model.compute_loss_and_updates
    gradient = jax.value_and_grad(compute, has_aux=True)

    def micro_step(non_trainable, micro_batch):
        (_, (loss, logits, non_trainable, _)), gradients = gradient(
            trainable,
            non_trainable,
            metrics_variables,
            *micro_batch,
            training=True,
            optimizer_variables=optimizer_variables,
        )
        return non_trainable, (loss, gradients), logits

    def add_micro_step(carry, micro_batch):
        non_trainable, sums = carry
        non_trainable, parts, logits = micro_step(non_trainable, micro_batch)
        return (non_trainable, jax.tree.map(jnp.add, sums, parts)), logits

    if steps == 1:
        non_trainable, sums, logits = micro_step(non_trainable, data)
    else:
        data = jax.tree.map(
            lambda array: _micro_batches(array, steps), _filled_up(data, steps)
        )
        zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, trainable)
        carry, logits = jax.lax.scan(add_micro_step, (non_trainable, zeros), data)
        non_trainable, sums = carry
        data, logits = jax.tree.map(_joined, (data, logits))
    loss_sum, gradient_sum = sums

    x, y, sample_weight = data
    num_targets = jnp.maximum(count_targets(y, sample_weight), 1)
    gradients = jax.tree.map(lambda g: g / num_targets, gradient_sum)
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, metrics_variables = model._update_metrics_variables(
        metrics_variables, loss_sum, x, y, logits, sample_weight
    )
    return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)


def update_packed_metrics(
    model, metrics_variables, unscaled_loss, x, y, y_pred, sample_weight
):
    """What `keras.Model._update_metrics_variables` does, with a mean per target."""
    # Keras weights the logged loss by rows; here a row holds several
    # targets and `unscaled_loss` is their sum.
    num_targets = count_targets(y, sample_weight)
    mapping = list(zip(model.metrics_variables, metrics_variables, strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        model._loss_tracker.update_state(
            unscaled_loss / jnp.maximum(num_targets, 1), sample_weight=num_targets
        )
        logs = model.compute_metrics(x, y, y_pred, sample_weight)
    return logs, [
        value if (value := scope.get_current_value(variable)) is not None else old
        for variable, old in mapping
    ]


def count_targets(y, sample_weight):
    """Positions that hold a target; those of weight 0 do not."""
    if sample_weight is None:
        return jnp.asarray(y.size, "float32")
    return jnp.sum((sample_weight != 0).astype("float32"))


def _filled_up(data, steps):
    """The batch with as many empty rows, of weight 0, as make it divide by `steps`."""
    x, y, sample_weight = data
    missing = -y.shape[0] % steps
    if not missing:
        return data
    if sample_weight is None:
        sample_weight = jnp.ones(y.shape[:2], "float32")
    return jax.tree.map(
        lambda array: jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)),
        (x, y, sample_weight),
    )


def _micro_batches(array, steps):
    """(rows, ...) to (steps, rows / steps, ...), micro-batch j being rows j::steps.

    Rows are sharded over devices in blocks, so the strided split leaves every
    device with an equal part of every micro-batch.
    """
    rows = array.shape[0] // steps
    return jnp.swapaxes(array.reshape(rows, steps, *array.shape[1:]), 0, 1)


def _joined(array):
    """(steps, rows, ...) to (steps * rows, ...)."""
    return array.reshape(-1, *array.shape[2:])
