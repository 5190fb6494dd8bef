"""How large the predicted regions and labels are: one table and one summary a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.data.meta_tensor import MetaTensor

from medbundles.components.distributed import is_writer, world_size
from medbundles.components.handlers.collecting_handler import CollectingHandler
from medbundles.components.metrics.case_metric import case_of_tensors
from medbundles.components.metrics.region_metric import known_affine
from medbundles.components.metrics.region_quality import ML_PER_MM3
from medbundles.components.region_labels import Labels, Regions, regions_to_labels
from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.atomic import write_csv, write_json
from medbundles.io.grids import voxel_volume_mm3

TABLE_NAME = "volumes.csv"
SUMMARY_NAME = "summary.json"
COLUMNS = ("case", "kind", "name", "voxels", "ml")


class RegionTables(CollectingHandler):
    """Collect the volumes of every case and write ``volumes.csv`` and ``summary.json`` when the evaluator has finished.

    The table has a row for each region (``kind`` region) and for each label (``kind`` label, voxels as
    :class:`medbundles.components.transforms.SaveRegionsd` writes them) of each case, those of 0 ml included; where
    each region is one label, the labels' rows say all. The summary has for each case its volumes and, where the image
    says it, the contrasts that were there. Nothing that
    identifies a patient is written but the case's name.

    Args:
        output_dir: folder of the files.
        regions: label values that make each region, in the order of the channels.
        labels: name of each label value.
        contrasts: names of the image's channels; with them the summary says which ones each case had.
        postprocessing: plain data that the summary repeats: how the regions came from probabilities.
        overwrite: whether existing files may be replaced.
        regions_key: item with masks ``(R, H, W, D)``; where it is absent they are what ``pred_key`` is above one half.
        pred_key: item with probabilities ``(R, H, W, D)``.
        image_key: item with the image, whose meta data may hold ``present``.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        regions: Regions,
        labels: Labels,
        contrasts: Sequence[str] = (),
        postprocessing: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        regions_key: str = "regions",
        pred_key: str = "pred",
        image_key: str = "image",
    ) -> None:
        self.output_dir = Path(output_dir)
        self.regions = {name: list(values) for name, values in regions.items()}
        self.labels = labels
        self.contrasts = tuple(contrasts)
        self.postprocessing = dict(postprocessing or {})
        self.overwrite = overwrite
        self.regions_key, self.pred_key, self.image_key = regions_key, pred_key, image_key
        self.cases: dict[str, dict[str, Any]] = {}

    def start(self, engine: Engine) -> None:
        """Forget earlier runs.

        Raises:
            OutputConflict: a file exists and ``overwrite`` is false; said before hours of work, not after.
        """
        existing = [name for name in (TABLE_NAME, SUMMARY_NAME) if (self.output_dir / name).exists()]
        if existing and not self.overwrite:
            raise OutputConflict(f"{self.output_dir} holds {', '.join(existing)}; choose another or --overwrite true")
        self.cases = {}

    def collect(self, engine: Engine) -> None:
        """Measure the items of one iteration.

        Raises:
            ConfigurationError: a prediction that does not know its voxels' size, or of other channels than regions.
        """
        items: Any = engine.state.output
        for item in items:
            chosen = item.get(self.regions_key)
            masks = item[self.pred_key] > 0.5 if chosen is None else chosen
            case = str(item["case"]) if "case" in item else case_of_tensors(masks, item[self.image_key]) or "unknown"
            self.cases[case] = self._measured(case, masks, item.get(self.image_key))

    def write(self, engine: Engine) -> None:
        """Write the files; under several processes the first one writes what all have found."""
        cases = _gathered(self.cases)
        if not is_writer():
            return
        rows = [{"case": case, **row} for case in sorted(cases) for row in cases[case]["volumes"]]
        write_csv(self.output_dir / TABLE_NAME, rows, COLUMNS, self.overwrite)
        summary = {
            "cases": [{"case": case, **_short(cases[case])} for case in sorted(cases)],
            "regions": self.regions,
            "postprocessing": self.postprocessing,
        }
        write_json(self.output_dir / SUMMARY_NAME, summary, self.overwrite)
        first = next(iter(self.regions))
        found = sum((case["regions_ml"] or case["labels_ml"])[first] > 0 for case in map(_short, cases.values()))
        print(f"{first} found in {found} of {len(cases)} case(s)", file=sys.stderr)
        print(f"in {self.output_dir}: {TABLE_NAME}, {SUMMARY_NAME}", file=sys.stderr, flush=True)

    def _measured(self, case: str, masks: torch.Tensor, image: Any) -> dict[str, Any]:
        affine = known_affine(masks, *([image] if isinstance(image, torch.Tensor) else []))
        if affine is None:
            raise ConfigurationError(f"case {case}: neither prediction nor image knows the size of its voxels")
        voxel_ml = voxel_volume_mm3(affine) * ML_PER_MM3
        label = np.asarray(regions_to_labels(masks, self.labels, self.regions).cpu())
        counts = np.bincount(label.ravel(), minlength=256)
        named = {int(value): name for value, name in self.labels.items() if int(value)}
        sizes = [("label", name, int(counts[value])) for value, name in named.items()]
        if self.regions != {name: [value] for value, name in named.items()}:
            regions = zip(self.regions, masks, strict=True)
            sizes = [("region", name, int((mask != 0).sum())) for name, mask in regions] + sizes
        volumes = [
            {"kind": kind, "name": name, "voxels": voxels, "ml": round(voxels * voxel_ml, 6)}
            for kind, name, voxels in sizes
        ]
        present = image.meta.get("present") if isinstance(image, MetaTensor) else None
        if present is None or len(present) != len(self.contrasts):
            return {"volumes": volumes}
        there = [name for name, one in zip(self.contrasts, present, strict=True) if one]
        return {"volumes": volumes, "contrasts": there}


def _short(case: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {
        f"{kind}s_ml": {row["name"]: row["ml"] for row in case["volumes"] if row["kind"] == kind}
        for kind in ("region", "label")
    }
    return {**{key: value for key, value in case.items() if key != "volumes"}, **sizes}


def _gathered(cases: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    if world_size() == 1 or not torch.distributed.is_initialized():
        return cases
    parts: list[dict[str, dict[str, Any]]] = [{} for _ in range(world_size())]
    torch.distributed.all_gather_object(parts, cases)
    return {case: found for part in parts for case, found in part.items()}
