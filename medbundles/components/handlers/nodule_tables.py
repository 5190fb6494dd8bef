"""Tables of the nodules of all cases of a run."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch.distributed
from ignite.engine import Engine
from monai.data.meta_tensor import MetaTensor

from medbundles.components.handlers.collecting_handler import CollectingHandler
from medbundles.components.metrics.case_metric import case_of_tensors
from medbundles.components.nodules import MALIGNANT, Nodule, find_nodules
from medbundles.components.transforms.save_prediction import as_array, stored_channels, stored_grid
from medbundles.errors import OutputConflict
from medbundles.io.atomic import write_csv, write_json

AXES = ("x", "y", "z")
COLUMNS = (
    "case",
    *(f"center_lps_{axis}_mm" for axis in AXES),
    *(f"center_ras_{axis}_mm" for axis in AXES),
    "diameter_mm",
    "volume_mm3",
    "peak_probability",
    "mean_hu",
    "first_slice",
    "last_slice",
    "touches_border",
)
# The columns of the LUNA16 challenge's evaluation script; coordinates are LPS mm.
LUNA16_COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "probability")
TABLES = ("nodules.csv", "nodules.json", "luna16_results.csv", "summary.json")


class NoduleTables(CollectingHandler):
    """Collects the nodules of every case and writes the tables once, when the evaluator has finished.

    Writes ``nodules.csv`` and ``nodules.json`` (``{"nodules": [...]}``) with the findings that reach
    ``peak_threshold``; ``luna16_results.csv`` in the challenge's format with all of them, because its score is drawn
    over all thresholds; and ``summary.json`` with counts, cases without nodules included. Nothing that identifies a
    patient is written but the case's name. How many were found, and where, is told on the standard error stream.

    Reads ``engine.state.output`` after postprocessing: items with ``pred`` (probabilities ``(C, H, W, D)``) and
    ``image`` (HU), both as :class:`medbundles.components.transforms.LoadVolumed` oriented them. Findings are formed of
    every voxel's highest probability. Where the network tells classes apart the tables say of each finding its
    ``class``, and with a class "malignant" its ``malignancy_probability``: what malignant has of the probability of
    all classes, as a mean over the finding's voxels.

    Args:
        output_dir: folder of the tables.
        threshold: a voxel belongs to a finding above this probability.
        peak_threshold: a finding is a nodule when its highest probability reaches this; ``None``: all are.
        candidate_threshold: above this voxels form findings; ``None``: above ``threshold``. The peak threshold of
            :func:`medbundles.components.metrics.choose_thresholds` holds for findings formed above its own.
        min_volume_mm3: smaller regions are left out.
        overwrite: whether existing tables may be replaced.
        pred_key: item with the probabilities.
        image_key: item with the intensities; may be absent.
        classes: names of the channels, in their order; with fewer than two nothing is said of classes.

    Raises:
        ConfigurationError: at the first case, when there are other classes than channels.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        threshold: float = 0.5,
        peak_threshold: float | None = None,
        candidate_threshold: float | None = None,
        min_volume_mm3: float = 0.0,
        overwrite: bool = False,
        pred_key: str = "pred",
        image_key: str = "image",
        classes: Iterable[str] = (),
    ) -> None:
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.peak_threshold = peak_threshold
        self.candidate_threshold = candidate_threshold
        self.min_volume_mm3 = min_volume_mm3
        self.overwrite = overwrite
        self.pred_key = pred_key
        self.image_key = image_key
        named = tuple(classes)
        self.classes = named if len(named) > 1 else ()
        self.findings: dict[str, list[Nodule]] = {}

    def start(self, engine: Engine) -> None:
        """Forget earlier runs.

        Raises:
            OutputConflict: a table exists and ``overwrite`` is false; said before hours of work, not after.
        """
        existing = [name for name in TABLES if (self.output_dir / name).exists()]
        if existing and not self.overwrite:
            raise OutputConflict(f"{self.output_dir} holds {', '.join(existing)}; choose another or --overwrite true")
        self.findings = {}

    def collect(self, engine: Engine) -> None:
        """Find the nodules in the items of one iteration."""
        items: Any = engine.state.output
        for item in items:
            prediction: MetaTensor = item[self.pred_key]
            affine, orientation = stored_grid(prediction)
            image = item.get(self.image_key)
            case = _case(item, prediction)
            self.findings[case] = find_nodules(
                stored_channels(prediction, orientation),
                affine,
                case,
                self.threshold,
                None if image is None else orientation.to_stored(as_array(image)[0]),
                self.min_volume_mm3,
                self.candidate_threshold,
                self.classes,
            )

    def write(self, engine: Engine) -> None:
        """Write the tables; under several processes the first one writes what all have found."""
        found = _gathered(self.findings)
        if idist.get_rank() > 0:
            return
        findings = [finding for case in sorted(found) for finding in found[case]]
        nodules = [finding for finding in findings if finding.peak_probability >= (self.peak_threshold or 0.0)]
        folder, overwrite = self.output_dir, self.overwrite
        write_csv(folder / "nodules.csv", map(_row, nodules), self._columns(), overwrite)
        write_csv(folder / "luna16_results.csv", map(_luna16_row, findings), LUNA16_COLUMNS, overwrite)
        write_json(folder / "nodules.json", {"nodules": [nodule.as_dict() for nodule in nodules]}, overwrite)
        summary = {
            "cases": [
                {"case": case, "nodules": sum(nodule.case == case for nodule in nodules), "findings": len(found[case])}
                for case in sorted(found)
            ],
            "nodules": len(nodules),
            **self._by_class(nodules),
            "findings": len(findings),
            "threshold": self.threshold,
            "peak_threshold": self.peak_threshold,
            "candidate_threshold": self.candidate_threshold,
            "min_volume_mm3": self.min_volume_mm3,
        }
        write_json(folder / "summary.json", summary, overwrite)
        _tell(folder, nodules, len(found), self._by_class(nodules).get("classes", {}))

    def _columns(self) -> tuple[str, ...]:
        if not self.classes:
            return COLUMNS
        return (*COLUMNS, *(["malignancy_probability"] if MALIGNANT in self.classes else []), "class")

    def _by_class(self, nodules: Sequence[Nodule]) -> dict[str, dict[str, int]]:
        if not self.classes:
            return {}
        counts = Counter(nodule.class_name for nodule in nodules)
        return {"classes": {name: counts[name] for name in self.classes}}


def _tell(folder: Path, nodules: Sequence[Nodule], cases: int, classes: Mapping[str, int]) -> None:
    with_nodules = len({nodule.case for nodule in nodules})
    kinds = f" ({', '.join(f'{count} {name}' for name, count in classes.items())})" if classes else ""
    print(f"{len(nodules)} nodule(s){kinds} in {with_nodules} of {cases} scan(s)", file=sys.stderr)
    pictures = "; pictures: CASE_preview.png" if any(folder.glob("*_preview.png")) else ""
    print(f"in {folder}: {', '.join(TABLES)}{pictures}", file=sys.stderr, flush=True)


def _case(item: Mapping[str, Any], prediction: MetaTensor) -> str:
    return str(item["case"]) if "case" in item else case_of_tensors(prediction) or "unknown"


def _gathered(findings: dict[str, list[Nodule]]) -> dict[str, list[Nodule]]:
    if idist.get_world_size() == 1:
        return findings
    parts: list[dict[str, list[Nodule]]] = [{} for _ in range(idist.get_world_size())]
    torch.distributed.all_gather_object(parts, findings)
    return {case: found for part in parts for case, found in part.items()}


def _row(nodule: Nodule) -> dict[str, Any]:
    row = nodule.as_dict()
    for name in ("center_lps", "center_ras"):
        row.update(zip((f"{name}_{axis}_mm" for axis in AXES), row.pop(f"{name}_mm"), strict=True))
    return row


def _luna16_row(nodule: Nodule) -> dict[str, Any]:
    coordinates = zip(("coordX", "coordY", "coordZ"), nodule.as_dict()["center_lps_mm"], strict=True)
    return {"seriesuid": nodule.case, **dict(coordinates), "probability": nodule.as_dict()["peak_probability"]}
