"""Predictions that are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, Finding


def refuse_broken_prediction(case: str, values: npt.NDArray[Any]) -> None:
    """Refuse predicted values that are no numbers: a threshold would take them for "nothing there".

    Raises:
        DataError: there are NaN or infinities (TRN003).
    """
    # The extremes are NaN where any value is, and need no second volume.
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        message = "the prediction holds NaN or infinity"
        fix = "the weights hold NaN, or the image does; use an earlier checkpoint, or --amp false on a GPU"
        raise DataError(findings=[Finding("TRN003", "error", message, fix, case=case)])
