"""A brain by t1w_synthesis's windows against the reference system's tiling, with the same network, in one run.

    python benchmarks/t1w_inference.py                                          # a brain of 105 x 135 x 110 voxels
    python benchmarks/t1w_inference.py --test_dir DATA --weights RUN/model.pt   # test cases, with their errors

The reference lays seven or eight blocks along each axis of the brain's box, crops three voxels from inner faces and
averages (reference/tiling.py); ours covers it with windows that overlap by a quarter, blended by a Gaussian, with the
backend that `medbundles infer` chooses. Errors are mean absolute ones inside the mask, against the real T1w. Rounds
alternate; the ratio is the median of the paired ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference import tiling
from torch import Tensor, nn

from medbundles.components.inferers import TissueWindowInferer
from medbundles.components.networks import PlainUNet, load_weights, network_from_model
from medbundles.components.regions import bounding_box
from medbundles.components.transforms import LoadVolumed
from medbundles.io.datalist import records
from medbundles.io.model_json import locate_weights, read_model

SHAPE, MARGIN = (105, 135, 110), 8
BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "t1w_synthesis"


def synthetic_case(channels: int) -> dict[str, Tensor]:
    """An ellipsoid with random channels; there is nothing to compare the result with."""
    size = tuple(edge + 2 * MARGIN for edge in SHAPE)
    places = [torch.linspace(-1, 1, edge) * edge / inner for edge, inner in zip(size, SHAPE, strict=True)]
    x, y, z = torch.meshgrid(*places, indexing="ij")
    mask = ((x**2 + y**2 + z**2) < 1)[None]
    image = torch.randn(channels, *size, generator=torch.Generator().manual_seed(0)) * mask
    return {"image": image, "mask": mask}


def load_case(record: dict[str, Any]) -> dict[str, Tensor]:
    item = LoadVolumed(["image", "label", "mask"])(record)
    return {key: item[key].as_tensor() for key in ("image", "label", "mask")}


class Counted(nn.Module):
    """A network that counts the windows it was shown."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.windows = 0

    def forward(self, batch: Tensor) -> Tensor:
        self.windows += len(batch)
        output: Tensor = self.network(batch)
        return output


def error(output: Tensor, case: dict[str, Tensor]) -> float | None:
    if "label" not in case:
        return None
    inside = case["mask"] > 0
    return float((output - case["label"])[inside].abs().mean())


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def compare(case: dict[str, Tensor], network: nn.Module, backend: str) -> dict[str, Any]:
    """Return windows, seconds and errors of both ways through one brain."""
    image, box = case["image"], bounding_box(np.asarray(case["mask"])[0] > 0)
    assert box is not None  # a prepared case has a brain
    counted = Counted(network)
    with torch.inference_mode():
        inferer = TissueWindowInferer([64] * 3, overlap=0.25, crop_to_foreground=True, backend=backend)
        inferer(image[None], network)  # compiled once, as for the first of many cases
        ours, our_seconds = timed(lambda: inferer(image[None], network)[0])
        (theirs, blocks), their_seconds = timed(lambda: tiling.predict(image, box, network))
        TissueWindowInferer([64] * 3, overlap=0.25, crop_to_foreground=True, backend="eager")(image[None], counted)
    return {
        "box": [part.stop - part.start for part in box],
        "reference": {"blocks": blocks, "seconds": their_seconds, "mae": error(theirs, case)},
        "ours": {"windows": counted.windows, "seconds": our_seconds, "mae": error(ours, case)},
        "ratio": their_seconds / our_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test_dir", type=Path, help="prepared folder whose test cases are taken")
    parser.add_argument("--weights", type=Path, help="model.pt of a run; the released weights by default")
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    if options.test_dir:
        weights = locate_weights(BUNDLE, options.weights)
        model = read_model(weights)
        network = network_from_model(model)
        load_weights(network, weights)
        channels = model["image_channels"]
        cases = [
            load_case(record) for record in records(options.test_dir, "testing", channels=channels)[: options.cases]
        ]
    else:
        torch.manual_seed(0)
        network, cases = PlainUNet(3, 11, 1), [synthetic_case(11)]
    network.eval()
    rows = []
    for case in cases:
        rows.append(compare(case, network, options.backend))
        print(rows[-1], flush=True)
    print(f"median ratio {statistics.median(row['ratio'] for row in rows):.1f}, {torch.get_num_threads()} threads")
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "cases": rows}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
