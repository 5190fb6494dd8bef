"""Small tasks in the layout of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.io.images import write_volume

SHAPE = (20, 24, 16)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def write_task(
    root: Path,
    cases: int = 6,
    channels: Sequence[str] = ("MRI",),
    labels: Mapping[str, str] | None = None,
    edges: Sequence[int] = (8, 6, 4),
    mean: float = 100.0,
    around: float = 50.0,
    **changes: Any,
) -> Path:
    """Write images of noise; a box of the first label with a smaller one of the last inside.

    Args:
        root: folder to make.
        cases: how many.
        channels: as ``modality`` lists them; several are one 4D file.
        labels: name of each value, background included.
        edges: voxels of the box.
        mean: of the labeled voxels.
        around: mean of the others.
        changes: of ``dataset.json``.
    """
    generator = np.random.default_rng(0)
    names = labels or {"0": "background", "1": "organ", "2": "tumor"}
    values = sorted(int(value) for value in names if value != "0")
    listed = []
    for number in range(cases):
        box = tuple(slice(4, 4 + edge) for edge in edges)
        label = np.zeros(SHAPE, np.uint8)
        label[box] = values[0]
        label[5:7, 5:7, 5:7] = values[-1]
        image = generator.normal(np.where(label > 0, mean, around), 5).astype(np.float32)
        file = f"case_{number:03d}.nii.gz"
        stacked = np.stack([image * (place + 1) for place in range(len(channels))], axis=-1)
        write_volume(root / "imagesTr" / file, image if len(channels) == 1 else stacked, AFFINE)
        write_volume(root / "labelsTr" / file, label, AFFINE)
        listed.append({"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"})
    content = {
        "name": "Organ",
        "modality": {str(place): name for place, name in enumerate(channels)},
        "labels": dict(names),
        "numTraining": cases,
        "training": listed,
    }
    (root / "dataset.json").write_text(json.dumps(content | changes))
    return root
