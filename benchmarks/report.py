"""What was measured, as JSON, as a table and as a picture."""

import json
import platform
import statistics
from importlib import metadata
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.worker import OURS

PACKAGES = ("jax", "jaxlib", "keras", "keras-hub", "numpy", "torch", "transformers")
HEADER = (
    "| contender | real tokens/s | ours is | reviews/s | fill | share of peak "
    "| compilations | compile s | first round after s | memory GB |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def summary(result: dict) -> dict[str, dict]:
    """Medians over the rounds of each contender that worked.

    A peer's rounds alternate with ours, so the ratio is the median of those within
    a turn; there is none where ours did not run beside it.
    """
    shown = {}
    for name, contender in result["contenders"].items():
        rounds = contender.get("rounds")
        if not rounds:
            continue

        def median(value, rounds=rounds):
            return statistics.median(value(r) for r in rounds)

        speeds = _speeds(rounds)
        ours = speeds if name == OURS else _speeds(contender.get("ours", []))
        shown[name] = {
            "tokens_per_second": statistics.median(speeds),
            "ours_is": ours
            and statistics.median(
                mine / theirs for mine, theirs in zip(ours, speeds, strict=True)
            ),
            "reviews_per_second": median(lambda r: r["reviews"] / r["seconds"]),
            "fill_ratio": median(lambda r: r["tokens"] / r["positions"]),
            "share_of_peak": median(lambda r: r["flops"] / r["seconds"])
            / result["peak"],
            "compilations": rounds[-1]["compilations"],
            "compile_seconds": contender["compile_seconds"],
            "first_round_seconds": contender["first_round_seconds"],
            "peak_memory": max(r["peak_memory"] for r in rounds),
            "setting": contender["setting"],
        }
    return shown


def _speeds(rounds: list[dict]) -> list[float]:
    return [r["tokens"] / r["seconds"] for r in rounds]


def table(measured: list[dict]) -> str:
    """The summaries in Markdown."""
    parts = []
    for result in measured:
        peak = result["peak"] / 1e9
        parts += [
            f"\n### {result['task']}, {result['mode']} (matrix product {peak:.0f} "
            "GFLOP/s)\n",
            HEADER,
        ]
        for name, s in summary(result).items():
            ratio = f"{s['ours_is']:.2f}x" if s["ours_is"] else "-"
            parts.append(
                f"| {name}: {s['setting']} | {s['tokens_per_second']:.0f} "
                f"| {ratio} | {s['reviews_per_second']:.2f} "
                f"| {s['fill_ratio']:.1%} | {s['share_of_peak']:.0%} "
                f"| {s['compilations']} | {s['compile_seconds']:.1f} "
                f"| {s['first_round_seconds']:.0f} | {s['peak_memory'] / 1e9:.1f} |"
            )
        for name, contender in result["contenders"].items():
            if "failure" in contender:
                parts.append(f"\n{name} did not run: {contender['failure']}")
    return "\n".join(parts)


def write(measured: list[dict], folder: Path, about: dict):
    """Writes `throughput.json`, `throughput.md` and `throughput.png`."""
    content = {
        **about,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": _versions(),
        "measured": measured,
    }
    (folder / "throughput.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "throughput.md").write_text(table(measured) + "\n")
    _draw(measured, folder / "throughput.png", about)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _draw(measured: list[dict], path: Path, about: dict):
    figure = Figure(figsize=(9, 1 + 2.2 * len(measured)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(measured), 1, squeeze=False)[:, 0]
    for axes, result in zip(panels, measured, strict=True):
        shown = summary(result)
        names = list(shown)[::-1]
        speeds = [shown[name]["tokens_per_second"] for name in names]
        colors = ["#D55E00" if name.startswith(OURS) else "#0072B2" for name in names]
        bars = axes.barh(names, speeds, color=colors)
        axes.bar_label(bars, fmt="%.0f", padding=3)
        axes.margins(x=0.1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"{result['task']}, {result['mode']}", loc="left", fontsize=10)
    panels[-1].set_xlabel(
        f"real tokens per second, {about['backbone']} {about['size']}, "
        f"{about['device']}, {about['dtype']}"
    )
    figure.savefig(path, dpi=150)
