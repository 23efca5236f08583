"""The folder that a run leaves behind."""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import filelock

from sentiment.config.settings import default_of, flag_value
from sentiment.errors import InputError, StorageError
from sentiment.runs.files import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    LOCK_FILE,
    METRICS_FILE,
    STAGING_FOLDER,
)


class InUse(InputError):
    """Another process works in a folder."""


class Workdir:
    """Writes a run's results: all of them appear, or none.

    Everything is written to the folder `unfinished` first, and moves to its
    place when it is whole. So a run that is stopped, or finds the disk full,
    leaves an older one as it was, and what it had trained in `unfinished`.
    Until then `checkpoints` holds what the same command goes on from.

    Attributes:
        results: names of what a finished run leaves, metrics last.
    """

    results: tuple[str, ...] = (METRICS_FILE,)

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.staging = self.path / STAGING_FOLDER
        self.checkpoints = self.path / CHECKPOINTS_FOLDER

    @property
    def is_begun(self) -> bool:
        """Whether there are checkpoints that a run may go on from."""
        return self.checkpoints.is_dir() and any(self.checkpoints.iterdir())

    def prepare(self, overwrite: bool):
        """Makes the folder and checks, before any work, that it can be used.

        With `overwrite`, what is there stays until the new run is finished. Where there
        are checkpoints beside it, an overwriting run was interrupted and may go on.

        Raises:
            InputError: the folder holds a finished run, or files that a run
                would replace, and not `overwrite`; or it cannot be written to.
        """
        try:
            present = [name for name in self.results if (self.path / name).exists()]
            overwrite = overwrite or self.is_begun
            if not overwrite and METRICS_FILE in present:
                raise InputError(
                    f"The workdir {self.path} already holds a finished run. Give "
                    "another --workdir, or --overwrite to replace it."
                )
            if not overwrite and present:
                raise InputError(
                    f"The workdir {self.path} holds {', '.join(present)}, which the "
                    "run would replace. Give another --workdir, or --overwrite."
                )
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise InputError(
                f"The workdir {self.path} cannot be written to: {error}"
            ) from error

    @contextlib.contextmanager
    def in_use(self, overwrite: bool):
        """Prepares the folder and keeps other processes out while this holds.

        Raises:
            InUse: another process works in it.
            InputError: see `prepare`; or it cannot be locked.
        """
        self.prepare(overwrite)  # makes the folder
        with self.locked():
            self.prepare(overwrite)  # Another may have finished in between.
            if overwrite:
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            yield self

    @contextlib.contextmanager
    def locked(self, timeout: float = 0):
        """Keeps other processes out while this holds; the folder must exist.

        Args:
            timeout: seconds to wait for another process.

        Raises:
            InUse: another process works in the folder.
            InputError: it cannot be locked.
        """
        lock = filelock.FileLock(self.path / LOCK_FILE)
        try:
            lock.acquire(timeout=timeout)
        except filelock.Timeout:
            raise InUse(
                f"Another process works in {self.path}. Wait for it, or give another "
                "--workdir."
            ) from None
        except (OSError, NotImplementedError) as error:  # some network file systems
            raise InputError(
                f"The workdir {self.path} cannot be locked: {error}. Give a --workdir "
                "on a local disk."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def clear_staging(self):
        """Begins anew in the folder `unfinished`."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()

    def write_config_and_metrics(self, config, metrics: dict):
        """Writes what every run leaves: its flagfile and its `metrics.json`.

        Args:
            config: a run's config, with `to_flagfile`.
            metrics: what JSON can hold.
        """
        texts = {
            CONFIG_FILE: config.to_flagfile(),
            METRICS_FILE: json.dumps(metrics, indent=2) + "\n",
        }
        for name, text in texts.items():
            (self.staging / name).write_text(text, encoding="utf-8")

    def publish(self):
        """Moves what was written to its place."""
        # Metrics go first and come last: where they stand, the run is whole.
        (self.path / METRICS_FILE).unlink(missing_ok=True)
        for name in self.results:
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            elif target.exists():
                target.unlink()
            if (self.staging / name).exists():  # Some runs have no test.
                os.replace(self.staging / name, target)
        self.staging.rmdir()
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self):
        """Around what writes: a full disk becomes an `InputError`."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"The results cannot be written: {error}. Make room; what could be "
                f"written is in {self.staging}."
            ) from error


def changed_flags(folder: Path, config, ignored: Sequence[str]) -> list[str]:
    """Lines of a config's flagfile that a finished run in `folder` had otherwise.

    A setting that came after that run was at its default.

    Args:
        folder: of the run.
        config: with `groups` of settings and `to_flagfile`.
        ignored: names of settings that may differ.
    """
    then = (folder / CONFIG_FILE).read_text(encoding="utf-8").splitlines()
    named = {_name_of(line) for line in then}
    defaults = {
        f"--{field.name}={flag_value(field, default_of(field))}"
        for group in config.groups
        for field in dataclasses.fields(group)
        if field.name not in named
    }
    now = set(config.to_flagfile().splitlines())
    return [
        line
        for line in sorted(now - set(then) - defaults)
        if _name_of(line) not in ignored
    ]


def _name_of(line: str) -> str:
    return line.removeprefix("--").split("=")[0]
