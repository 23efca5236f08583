"""Checkpoints that a run goes on from, exactly."""

import contextlib
import copy
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from sentiment.errors import InputError, StorageError

KEPT = 2


class Checkpoints:
    """A model's and its optimizer's state, by the number of updates made.

    Orbax writes in the background and gives a checkpoint its name when it is
    whole, so a half-written one is never taken for a whole one.

    Args:
        folder: where they go; made when the first one is written.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).absolute()
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True),
        )

    @property
    def latest(self) -> int | None:
        """Updates made by the newest checkpoint; `None` if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: dict[str, list], about: dict):
        """Begins to write a checkpoint; training may go on meanwhile.

        Args:
            step: updates made.
            state: groups of arrays, as of `state_of`.
            about: what else there is to know, as JSON.

        Raises:
            InputError: this one or the one before cannot be written, as on a full
                disk.
        """
        # Copies: the next step takes the arrays' memory for its own.
        arrays = _named({name: list(map(np.array, state[name])) for name in state})
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(arrays),
                    # A copy: it is written while training changes the lists in it.
                    about=ocp.args.JsonSave(copy.deepcopy(about)),
                ),
            )

    def about(self) -> dict:
        """What was to know about the newest checkpoint."""
        restored = self._manager.restore(
            self.latest, args=ocp.args.Composite(about=ocp.args.JsonRestore())
        )
        return restored["about"]

    def restore(self, like: dict[str, list]) -> dict[str, list]:
        """The arrays of the newest checkpoint.

        Args:
            like: groups of arrays or variables of the same shapes and dtypes.

        Raises:
            InputError: it is of another model, or damaged.
        """
        wanted = {
            group: [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in values]
            for group, values in like.items()
        }
        try:
            restored = self._manager.restore(
                self.latest,
                args=ocp.args.Composite(state=ocp.args.StandardRestore(_named(wanted))),
            )
            arrays = restored["state"]
            return {
                group: [arrays[name] for name in _named({group: values})]
                for group, values in wanted.items()
            }
        except Exception as error:  # Orbax and tensorstore fail in many ways.
            raise InputError(
                f"The checkpoint of update {self.latest} in {self.folder} cannot be "
                f"read: {error}. Delete its folder to go on from the one before, or "
                "give --overwrite to start anew."
            ) from error

    def wait(self):
        """Waits for what is being written.

        Raises:
            InputError: it cannot be written, as on a full disk.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def close(self):
        """Waits for what is being written.

        Raises:
            InputError: it cannot be written, as on a full disk.
        """
        with self._writing():
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except Exception as error:  # Orbax and tensorstore fail in many ways.
            before = "" if self.latest is None else " The one before is whole."
            raise StorageError(
                f"A checkpoint in {self.folder} could not be written: {error}.{before} "
                "Make room and start the same command again."
            ) from error


def state_of(model) -> list:
    """The variables that a compiled model goes on from: weights, optimizer, seeds."""
    return [*model.variables, *model.optimizer.variables]


def set_state(variables: list, arrays: list):
    """Assigns restored arrays to variables."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _named(state: dict[str, list]) -> dict:
    return {
        f"{group}_{i:05d}": value
        for group, values in state.items()
        for i, value in enumerate(values)
    }
