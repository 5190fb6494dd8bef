"""Training curves as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medbundles.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = list[tuple[int, float]]
COLUMNS = 3
TRAINING, VALIDATION = "training", "validation"
# Color and marker of a line; both differ, so that they can be told apart in gray, too.
STYLES = {TRAINING: ("#1f5a94", "o"), VALIDATION: ("#1b8a5a", "s")}
BEST_COLOR, GRID_COLOR = "#d95f02", "#dddddd"
FRACTIONS = ("sensitivity", "recall", "precision", "dice", "f1", "auc", "ssim")
# Errors of networks that make images, in the units of a z-scored volume.
ERRORS = {"mae": "z units", "mse": "squared z units"}
SPELLINGS = {
    "dice": "Dice",
    "f1": "F1",
    "mae": "mean absolute error",
    "malignancy_auc": "malignancy AUC",
    "mse": "mean squared error",
    "psnr": "PSNR in dB",
    "ssim": "SSIM",
    "tissue_dice": "tissue Dice",
}


@dataclass(frozen=True)
class Panel:
    """One small diagram.

    Attributes:
        title: what is shown, in words.
        unit: label of the upright axis.
        lines: what is known of it in training and in validation; values that are not finite are left out.
        from_zero: whether the axis begins at zero: a share of something is judged by its height.
    """

    title: str
    unit: str
    lines: dict[str, Points] = field(default_factory=dict)
    from_zero: bool = False


def draw_curves(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    best_epoch: int | None = None,
    scores: Mapping[str, str | None] | None = None,
) -> None:
    """Draw one small diagram for every loss, learning rate and metric of a history.

    Args:
        rows: lines of ``history.jsonl``.
        path: PNG to write, atomically.
        best_epoch: epoch to mark, that of the best model.
        scores: see :func:`panels_of`.
    """
    panels = panels_of(rows, scores)
    if not panels:
        return
    figure = draw_panels(panels, max(int(row["epoch"]) for row in rows), best_epoch)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_panels(panels: Sequence[Panel], last_epoch: int, best_epoch: int | None = None) -> Figure:
    """Return a figure of all panels with one legend.

    Args:
        panels: at least one.
        last_epoch: where the axes end.
        best_epoch: epoch to mark.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    # The figure's own canvas instead of pyplot: no window system, no global state.
    figure = Figure(figsize=(4.2 * columns, 2.9 * lines + 0.3), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    known: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(lines, columns, number + 1)
        known |= _draw_panel(axes, panel, last_epoch) | _mark_best(axes, panel, best_epoch)
    order = [name for name in STYLES if name in known] + [name for name in known if name not in STYLES]
    figure.legend([known[name] for name in order], order, loc="outside lower center", ncols=3, frameon=False)
    return figure


def panels_of(rows: Sequence[Mapping[str, Any]], scores: Mapping[str, str | None] | None = None) -> list[Panel]:
    """Return the diagrams of a history: losses, learning rates, then metrics.

    Args:
        rows: lines of ``history.jsonl``.
        scores: metrics by name and what each one's own value is called (``{"pixels": "dice"}``; ``None``: the name
            says it); ``pixels_recall`` is then shown as "recall (pixels)". A metric of a loss's name shares its panel.
    """
    panels: dict[tuple[str, str], Panel] = {}
    rates = {name for row in rows for name in row.get("learning_rates") or {}}
    for group, line in (("losses", TRAINING), ("learning_rates", TRAINING), ("metrics", VALIDATION)):
        for row in rows:
            for name, value in (row.get(group) or {}).items():
                if not isinstance(value, int | float) or not math.isfinite(value):
                    continue
                key = ("rate" if group == "learning_rates" else "figure", name)
                if key not in panels:
                    panels[key] = _rate_panel(name, len(rates)) if key[0] == "rate" else _panel(group, name, scores)
                panels[key].lines.setdefault(line, []).append((int(row["epoch"]), float(value)))
    return list(panels.values())


def _rate_panel(name: str, rates: int) -> Panel:
    return Panel("learning rate" if rates == 1 else f"learning rate ({_words(name)})", "at the start of the epoch")


def _panel(group: str, name: str, scores: Mapping[str, str | None] | None) -> Panel:
    if group == "losses":
        return Panel(_words(name), "mean over the epoch")
    figure, metric = _taken_apart(name, scores or {})
    suffix = f" ({_words(metric)})" if metric else ""
    if figure.endswith("_percent"):
        return Panel(_words(figure.removesuffix("_percent")) + suffix, "percent of label", from_zero=True)
    if "_per_" in figure:
        return Panel(_words(figure) + suffix, _words(figure), from_zero=True)
    if figure in ERRORS:
        return Panel(_words(figure) + suffix, ERRORS[figure], from_zero=True)
    if figure.rpartition("_")[2] in FRACTIONS:
        return Panel(_words(figure) + suffix, f"{_words(figure)}, 0 to 1", from_zero=True)
    return Panel(_words(figure) + suffix, _words(figure))


def _taken_apart(name: str, scores: Mapping[str, str | None]) -> tuple[str, str | None]:
    """Return the figure that a name of the history stands for, and the metric that it is part of."""
    if name in scores:
        score = scores[name]
        return (name, None) if score is None else (score, name)
    for metric in sorted(scores, key=len, reverse=True):
        if name.startswith(f"{metric}_"):
            return name.removeprefix(f"{metric}_"), metric
    return name, None


def _words(name: str) -> str:
    return SPELLINGS.get(name, name.replace("_", " "))


def _draw_panel(axes: Any, panel: Panel, last_epoch: int) -> dict[str, Any]:
    """Draw a panel's lines and return them by name, for the legend."""
    drawn = {}
    for line, points in panel.lines.items():
        epochs, values = zip(*points, strict=True)
        color, marker = STYLES[line]
        # Not clipped: a marker at zero is as whole as the others.
        style = {"linewidth": 1.6, "markersize": 3, "clip_on": False, "zorder": 3}
        (drawn[line],) = axes.plot(epochs, values, color=color, marker=marker, **style)
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set_xlabel("epoch", fontsize=8)
    axes.set_ylabel(panel.unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.margins(y=0.15)
    # All panels have the same epochs, and a single one has a place in the middle.
    axes.set_xlim(0.5, last_epoch + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if panel.from_zero:
        highest = max(value for points in panel.lines.values() for _, value in points)
        axes.set_ylim(0, highest * 1.15 if highest > 0 else 1)
    axes.grid(color=GRID_COLOR, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return drawn


def _mark_best(axes: Any, panel: Panel, best_epoch: int | None) -> dict[str, Any]:
    """Mark the epoch of the chosen model and return the mark by its name, for the legend."""
    if best_epoch is None:
        return {}
    mark = axes.axvline(best_epoch, color=BEST_COLOR, linewidth=0.8, linestyle=":")
    values = [dict(points).get(best_epoch) for points in panel.lines.values()]
    found = [value for value in values if value is not None]
    style = {"markersize": 7, "markerfacecolor": "none", "clip_on": False, "zorder": 4}
    axes.plot([best_epoch] * len(found), found, "o", color=BEST_COLOR, **style)
    texts = [f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" for value in found]
    axes.set_title(", ".join(texts), fontsize=8, loc="right", color=BEST_COLOR)
    return {f"chosen model: epoch {best_epoch}": mark}
