"""Curves of real scans over those of samples."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw_curves(
    file: Path, x: npt.NDArray[np.floating], real: dict[str, npt.NDArray[np.floating]],
    samples: dict[str, npt.NDArray[np.floating]], label: str,
) -> None:  # fmt: skip
    """Draw one curve a scan, samples in gray."""
    figure, panel = plt.subplots(figsize=(8, 4.5))
    for curve in samples.values():
        panel.plot(x, curve, color="0.7", linewidth=0.8)
    for name, curve in real.items():
        panel.plot(x, curve, label=name)
    panel.set_xlabel(label)
    panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
