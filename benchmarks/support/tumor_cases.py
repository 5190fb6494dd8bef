"""A trained tumor network applied to cases that are loaded once, for measurements on changed images."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from medbundles.components.device import has_mixed_precision
from medbundles.components.inferers import SpacedInferer, TissueWindowInferer
from medbundles.components.metrics import RegionQuality
from medbundles.components.networks import load_weights, network_from_model
from medbundles.components.transforms import BrainMaskd, CleanRegionsd, LoadContrastsd, NormalizeContrastsd
from medbundles.io.atomic import write_json
from medbundles.io.datalist import records
from medbundles.io.model_json import cleaning_of, locate_weights, read_model

BUNDLE = Path(__file__).parents[2] / "bundles" / "brain_tumor_mri_segmentation"
Change = Callable[[dict[Any, Any]], dict[Any, Any]]
# Of weights, prepared folder and part: the summary of each row.
Measure = Callable[[str | None, Path, str], dict[str, dict[str, Any]]]


class TrainedTumorNetwork:
    """Network, preprocessing and cleaning of a ``model.json``.

    Args:
        weights: ``model.pt``; None takes the released weights.
    """

    def __init__(self, weights: str | None) -> None:
        file = locate_weights(BUNDLE, weights)
        self.model = read_model(file)
        self.contrasts: list[str] = list(self.model["image_channels"])
        self.network = network_from_model(self.model).eval()
        load_weights(self.network, file)
        window = TissueWindowInferer(
            self.model["preprocessing"]["patch_size"],
            crop_to_foreground=True,
            backend="auto",
            amp=has_mixed_precision(torch.device("cpu")),
        )
        self.inferer = SpacedInferer(window, self.model["preprocessing"]["spacing_mm"])
        self.cleaning = CleanRegionsd("pred", self.model["regions"], **cleaning_of(self.model), output_key="regions")

    def load(self, dataset_dir: Path, part: Any = "testing", change: Change | None = None) -> Iterator[dict[Any, Any]]:
        """Yield the cases of a part with a z-scored image; ``change`` alters each as it was read."""
        for item in self.read(dataset_dir, part):
            yield self.normalized(change(item) if change else item)

    def read(self, dataset_dir: Path, part: Any = "testing") -> Iterator[dict[Any, Any]]:
        """Yield the cases of a part with the image as it was stored."""
        read = LoadContrastsd(self.contrasts, ["image", "label", "mask"])
        for record in records(dataset_dir, part, channels=self.contrasts, optional=True):
            yield read(record)

    def normalized(self, item: dict[Any, Any], keep: Sequence[str] | None = None) -> dict[Any, Any]:
        """Return a case that was read as the network sees it; only the contrasts to ``keep`` are there at all."""
        if keep is not None:
            there = [present and name in keep for present, name in zip(item["present"], self.contrasts, strict=True)]
            image = item["image"].clone()
            image[[number for number, is_there in enumerate(there) if not is_there]] = 0.0
            item = {**item, "image": image, "present": there}
        normalized: dict[Any, Any] = NormalizeContrastsd(self.contrasts)(BrainMaskd()(item))
        return normalized

    def regions(self, image: Tensor) -> Tensor:
        """Return masks ``(R, H, W, D)`` of an image ``(C, H, W, D)`` as the network sees it."""
        batch = MetaTensor(image.as_tensor()[None], affine=image.affine[None])
        logits = self.inferer(batch, self.network)[0]
        item = self.cleaning({"pred": MetaTensor(logits.as_tensor().sigmoid(), affine=image.affine)})
        found: Tensor = item["regions"]
        return found

    def quality(self) -> RegionQuality:
        """Return the metric that measurements use."""
        return RegionQuality(self.model["regions"], surface=True)


def table_of(found: Mapping[str, Mapping[str, Any]], first: str) -> str:
    """Return summaries as a Markdown table: Dice with its interval and HD95 of each region.

    Args:
        found: name of a row to the summary of :class:`RegionQuality`.
        first: what the rows are.
    """
    regions = list(next(iter(found.values()))["regions"])
    lines = [
        f"| {first} | {' | '.join(f'{name}: Dice, HD95 mm' for name in regions)} |",
        "|---" * (len(regions) + 1) + "|",
    ]
    for name, summary in found.items():
        lines.append(f"| {name} | {' | '.join(_cell(summary['regions'][region]) for region in regions)} |")
    return "\n".join(lines)


def run_table(
    measure: Callable[[str | None, Path, str], dict[str, dict[str, Any]]], about: str | None, rows: str
) -> None:
    """Measure what the command line says, write it and print the table.

    Args:
        measure: takes weights, prepared folder and part; returns the summary of each row.
        about: what ``--help`` says.
        rows: what the rows are.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder")
    parser.add_argument("--weights", help="model.pt of a run; default: the released weights")
    parser.add_argument("--part", default="testing", help="testing or validation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    if not options.dataset_dir:
        print("no --dataset_dir given: nothing to measure (see --help)")
        return
    torch.set_num_threads(options.threads)
    found = measure(options.weights, options.dataset_dir, options.part)
    if options.json:
        write_json(options.json, found)
    print(table_of(found, rows))


def _cell(figures: Mapping[str, Any]) -> str:
    if figures["dice"] is None:
        return "-"
    low, high = figures["intervals"]["dice"] or (float("nan"), float("nan"))
    distance = figures["hd95_mm"]
    return f"{figures['dice']:.2f} ({low:.2f} to {high:.2f}), {distance:.0f}"
