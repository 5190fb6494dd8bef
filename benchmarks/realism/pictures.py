"""Sheets and curves that show real scans beside samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from realism.volumes import Chest

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

LEVELS = {"apex": 0.85, "hilum": 0.5, "base": 0.2}
WINDOWS = {"lung": (-1050, 150), "soft tissue": (-160, 240)}
PANEL_MM, ZOOM_MM = (330.0, 250.0), (90.0, 90.0)


def draw_sheet(chests: Sequence[Chest], file: Path, window: tuple[float, float], zoomed: bool = False) -> None:
    """Draw one row a scan, one column a level, all at the same scale."""
    width, height = ZOOM_MM if zoomed else PANEL_MM
    size = (3 * 3.6, 3.6 * height / width * len(chests))
    figure, axes = plt.subplots(len(chests), len(LEVELS), figsize=size, squeeze=False)
    for row, chest in zip(axes, chests, strict=True):
        for panel, (level, share) in zip(row, LEVELS.items(), strict=True):
            _draw_slice(panel, chest, share, (width, height), window, zoomed)
            panel.set_title(f"{chest.name}, {level}", fontsize=7, pad=2)
    figure.subplots_adjust(0.002, 0.002, 0.998, 1 - 0.2 / len(chests), wspace=0.01, hspace=0.08)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw_slice(
    panel: Axes, chest: Chest, share: float, size_mm: tuple[float, float], window: tuple[float, float], zoomed: bool
) -> None:
    filled = np.flatnonzero(chest.lung.any(axis=(1, 2)))
    number = int(filled[0] + share * (filled[-1] - filled[0]))
    mask = chest.core[number] if chest.core[number].any() else chest.lung[number]
    rows, columns = np.nonzero(mask)
    if zoomed:
        # The patient's left lung only: its middle lies in lung, the middle of both does not.
        half = columns > np.median(columns)
        rows, columns = rows[half], columns[half]
    middle = [float(np.mean((part.min(), part.max()))) for part in (columns, rows)]
    _, dy, dx = chest.spacing_mm
    extent = (-middle[0] * dx, (mask.shape[1] - middle[0]) * dx, (mask.shape[0] - middle[1]) * dy, -middle[1] * dy)
    panel.set_facecolor("black")
    panel.imshow(chest.hu[number], "gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="nearest")
    panel.set_xlim(-size_mm[0] / 2, size_mm[0] / 2)
    panel.set_ylim(size_mm[1] / 2, -size_mm[1] / 2)
    panel.set_xticks([])
    panel.set_yticks([])
