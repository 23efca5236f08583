"""Where a run of updates stands."""

import dataclasses
import time


@dataclasses.dataclass
class RunState:
    """What changes in a run besides its weights; a checkpoint holds it as JSON.

    Attributes:
        done: updates made.
        history: one list of values per logged name, with an item for each section.
        metrics: values of Keras' metric variables at the last checkpoint; the means of
            a section that it cuts in two go on from them.
        skipped: updates, counted from 0, whose batches are left out since one of them
            made the loss diverge.
        num_recoveries: how often the loss diverged and training went back.
        first_loss: the first one seen, which later ones are compared with.
        saved_at: the `seconds` of the last checkpoint.
    """

    done: int = 0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    metrics: list = dataclasses.field(default_factory=list)
    skipped: set[int] = dataclasses.field(default_factory=set)
    num_recoveries: int = 0
    first_loss: float | None = None
    saved_at: float = 0.0

    def __post_init__(self):
        self._set_seconds(0.0)

    @property
    def seconds(self) -> float:
        """Time spent in training, in all processes of the run."""
        return self._seconds_before + time.monotonic() - self._started

    def to_json(self) -> dict:
        """What a checkpoint holds of it, beside the number of updates."""
        return {
            "history": self.history,
            "seconds": self.seconds,
            "metrics": self.metrics,
            "skipped": sorted(self.skipped),
            "num_recoveries": self.num_recoveries,
            "first_loss": self.first_loss,
        }

    def go_on_from(self, done: int, saved: dict):
        """Takes over a checkpoint of an earlier process.

        Args:
            done: updates made then.
            saved: as of `to_json`.
        """
        self.done, self.history = done, saved["history"]
        self.metrics, self.first_loss = saved["metrics"], saved["first_loss"]
        self.skipped = set(saved["skipped"])
        self.num_recoveries = saved["num_recoveries"]
        self._set_seconds(saved["seconds"])

    def go_back_to(self, done: int, saved: dict, without: range):
        """Takes over a checkpoint of this run after its loss has diverged.

        Args:
            done: updates made then.
            saved: as of `to_json`.
            without: updates to leave out from now on, beside those left out before.
        """
        skipped, num_recoveries = self.skipped | set(without), self.num_recoveries + 1
        seconds, saved_at = self.seconds, self.saved_at
        self.go_on_from(done, saved)
        self.skipped, self.num_recoveries = skipped, num_recoveries
        self._set_seconds(seconds)
        self.saved_at = saved_at

    def _set_seconds(self, seconds: float):
        self._seconds_before, self._started = seconds, time.monotonic()
        self.saved_at = seconds
