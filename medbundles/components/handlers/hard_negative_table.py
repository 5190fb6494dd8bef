"""A network's own false positives as a table for the next training."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch.distributed
from ignite.engine import Engine

from medbundles.components.handlers.collecting_handler import CollectingHandler
from medbundles.components.metrics.case_metric import case_of_tensors
from medbundles.components.metrics.lesion_matching import find_components, overlaps
from medbundles.components.regions import highest_channel
from medbundles.components.transforms.save_prediction import as_array
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.grids import flip_lps, to_world
from medbundles.io.hard_negatives import MINED, HardNegative, read_hard_negatives, write_hard_negatives

Mined = dict[str, list[HardNegative]]


class HardNegativeTable(CollectingHandler):
    """Write what a network finds where no label is.

    Reads ``engine.state.output`` after postprocessing: items with ``pred`` (probabilities ``(C, H, W, D)``) and
    ``label``, whose meta data name the case. A finding whose region touches a label anywhere is no mistake. Rows that
    are in the table from another source (a given list of candidates) stay; those mined before are replaced.

    Args:
        path: the table.
        candidate_threshold: probability above which voxels form findings.
        most_per_case: of more findings the most probable are kept.
    """

    def __init__(
        self, path: str | os.PathLike[str], candidate_threshold: float = 0.1, most_per_case: int = 200
    ) -> None:
        self.path = Path(path)
        self.candidate_threshold = candidate_threshold
        self.most_per_case = most_per_case
        self.mined: Mined = {}

    def start(self, engine: Engine) -> None:
        """Refuse a table that could not be written, before an hour of work and not after it.

        Raises:
            ConfigurationError: its path is a folder, or lies in none that can be made (CFG002).
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            usable = not self.path.is_dir() and os.access(self.path.parent, os.W_OK)
        except OSError:
            usable = False
        if not usable:
            message = f"table is {self.path}, expected a file in a folder that can be written"
            raise ConfigurationError(findings=[Finding("CFG002", "error", message, "choose another --table")])

    def collect(self, engine: Engine) -> None:
        """Find the false positives in the items of one iteration."""
        items: Any = engine.state.output
        for item in items:
            case = case_of_tensors(item["label"], item["pred"]) or str(len(self.mined))
            self.mined[case] = self.false_positives(item, case)

    def false_positives(self, item: Mapping[str, Any], case: str) -> list[HardNegative]:
        """Return the findings of one item that touch no label, most probable first."""
        probability = highest_channel(as_array(item["pred"]))
        found = find_components(probability > np.float32(self.candidate_threshold))
        touching = set(overlaps(found, find_components((as_array(item["label"]) != 0).any(axis=0)))[:, 0].tolist())
        affine = np.asarray(item["pred"].affine, dtype=np.float64)
        wrong = [
            (float(peak), tuple(float(value) for value in flip_lps(to_world(affine, center))))
            for number, (peak, center) in enumerate(zip(found.maxima(probability), found.centers, strict=True), start=1)
            if number not in touching
        ]
        ordered = sorted(wrong, reverse=True)[: self.most_per_case]
        return [HardNegative(case, (x, y, z), peak, MINED) for peak, (x, y, z) in ordered]

    def write(self, engine: Engine) -> None:
        """Write the table; under several processes the first one writes what all have found."""
        mined = _gathered(self.mined)
        if idist.get_rank() > 0:
            return
        kept = [place for place in read_hard_negatives(self.path) if place.source != MINED] if self._exists() else []
        found = [place for places in mined.values() for place in places]
        write_hard_negatives(self.path, [*kept, *found])
        if not found:
            print(
                "warning: no false positive was found; a training on this table has none to learn from", file=sys.stderr
            )
        others = f" beside {len(kept)} given ones" if kept else ""
        print(
            f"{len(found)} hard negative(s) of {len(mined)} scan(s){others}: {self.path}", file=sys.stderr, flush=True
        )

    def _exists(self) -> bool:
        return self.path.is_file()


def _gathered(mined: Mined) -> Mined:
    if idist.get_world_size() == 1:
        return mined
    parts: list[Mined] = [{} for _ in range(idist.get_world_size())]
    torch.distributed.all_gather_object(parts, mined)
    return {case: places for part in parts for case, places in part.items()}
