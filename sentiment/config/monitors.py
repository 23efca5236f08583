"""Validation scores that can pick the best epoch, or the best trial."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Monitor:
    """One such score.

    Attributes:
        title: as a person reads it.
        logged_name: what Keras logs it as.
        mode: `max` or `min`, what is better.
    """

    title: str
    logged_name: str
    mode: str

    def text(self, value: float | None) -> str:
        """A score in print, empty for `None`; where more is better, in percent."""
        if value is None:
            return ""
        return f"{value:.4f}" if self.mode == "min" else f"{value:.2%}"


MONITORS = {
    "accuracy": Monitor("accuracy", "val_accuracy", "max"),
    "macro_f1": Monitor("macro-F1", "val_macro_f1", "max"),
    "loss": Monitor("loss", "val_cross_entropy", "min"),
}
