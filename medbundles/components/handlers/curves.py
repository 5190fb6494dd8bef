"""Training curves as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.io.atomic import atomic_path

Points = list[tuple[int, float]]
COLUMNS = 3
LINE_COLOR, BEST_COLOR, GRID_COLOR = "#1f5a94", "#d95f02", "#dddddd"


def draw_curves(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], best_epoch: int | None = None) -> None:
    """Draw one small diagram for every loss, learning rate and metric of a history.

    Args:
        rows: lines of ``history.jsonl``.
        path: PNG to write, atomically.
        best_epoch: epoch to mark, that of the best model.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = curves_of(rows)
    if not curves:
        return
    columns = min(COLUMNS, len(curves))
    lines = math.ceil(len(curves) / columns)
    # The figure's own canvas instead of pyplot: no window system, no global state.
    figure = Figure(figsize=(4.2 * columns, 2.9 * lines), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, points) in enumerate(curves.items()):
        axes = figure.add_subplot(lines, columns, number + 1)
        _draw_curve(axes, name, points)
        _mark_best(axes, points, best_epoch)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def curves_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Return the curves of a history by name: losses, learning rates, then metrics; not finite values left out."""
    curves: dict[str, Points] = {}
    for group in ("losses", "learning_rates", "metrics"):
        for row in rows:
            for name, value in (row.get(group) or {}).items():
                if isinstance(value, int | float) and math.isfinite(value):
                    curves.setdefault(name, []).append((int(row["epoch"]), float(value)))
    return curves


def _draw_curve(axes: Any, name: str, points: Points) -> None:
    epochs, values = zip(*points, strict=True)
    axes.plot(epochs, values, color=LINE_COLOR, linewidth=1.6, marker="o", markersize=3)
    axes.set_title(name.replace("_", " "), fontsize=10, loc="left")
    axes.set_xlabel("epoch", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=GRID_COLOR, linewidth=0.6)
    axes.margins(y=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _mark_best(axes: Any, points: Points, best_epoch: int | None) -> None:
    value = dict(points).get(best_epoch) if best_epoch is not None else None
    if value is None:
        return
    axes.axvline(best_epoch, color=BEST_COLOR, linewidth=0.8, linestyle=":")
    axes.plot([best_epoch], [value], marker="o", markersize=7, markerfacecolor="none", color=BEST_COLOR)
    axes.set_title(f"{value:.3g} at epoch {best_epoch}", fontsize=8, loc="right", color=BEST_COLOR)
