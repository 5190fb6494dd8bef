"""Small heads: a prepared folder for training, and raw scans for inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbundles.io.atomic import write_json
from medbundles.io.datalist import DATALIST_NAME
from medbundles.io.diffusion_channels import DEFAULT
from medbundles.io.fingerprint import NAME
from medbundles.io.images import write_volume
from medbundles.samples.head.sites import sphere

SHAPE = (26, 30, 22)
# First axis to the left, as scanners store it.
AFFINE = np.array([[-2.5, 0, 0, 30], [0, 2.5, 0, -35], [0, 0, 2.5, -25], [0, 0, 0, 1.0]])
T1W = {"mean": 500.0, "std": 100.0}


def brain() -> npt.NDArray[np.bool_]:
    """Return an ellipsoid, a block's edge smaller than the volume."""
    places = (np.indices(SHAPE).transpose(1, 2, 3, 0) - (np.array(SHAPE) - 1) / 2) / (np.array(SHAPE) * 0.42)
    return np.asarray((places**2).sum(axis=-1) < 1)


def maps(generator: np.random.Generator) -> dict[str, npt.NDArray[np.float32]]:
    """Return each channel; the T1w that belongs to them is bright where water diffuses slowly."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(generator.normal(size=SHAPE), 1.5) * 8
    signals = {name: smooth + generator.normal(0, 0.1, SHAPE) for name in DEFAULT}
    signals |= {name: 0.8 + 0.2 * smooth + generator.normal(0, 0.02, SHAPE) for name in ("l1", "l2", "l3")}
    return {name: np.where(brain(), values, 0).astype(np.float32) for name, values in signals.items()}


def write_prepared(folder: Path, training: int = 4, testing: int = 1) -> Path:
    """Write what `medbundles prepare dwi_t1w` writes, folds dealt out by turns."""
    generator = np.random.default_rng(0)
    inside = brain()
    records = []
    for number in range(training + testing):
        case = f"head{number}"
        channels = maps(generator)
        for name, values in channels.items():
            write_volume(folder / "images" / f"{case}_{name}.nii.gz", values, AFFINE)
        t1w = np.where(inside, -channels["l1"], 0)
        t1w[inside] = (t1w[inside] - t1w[inside].mean()) / t1w[inside].std()
        write_volume(folder / "labels" / f"{case}.nii.gz", t1w.astype(np.float32), AFFINE)
        write_volume(folder / "masks" / f"{case}.nii.gz", inside.astype(np.uint8), AFFINE)
        images = [f"images/{case}_{name}.nii.gz" for name in DEFAULT]
        files = {"image": images, "label": f"labels/{case}.nii.gz", "mask": f"masks/{case}.nii.gz"}
        records.append({**files, "case": case, "subject": case, "fold": number % 2})
    write_json(folder / NAME, {"grid": "dwi", "channels": list(DEFAULT), "t1w": T1W})
    content = {"channels": list(DEFAULT), "training": records[:training], "testing": records[training:]}
    write_json(folder / DATALIST_NAME, content)
    return folder


def write_raw(folder: Path, directions: int = 12) -> Path:
    """Write one raw scan: ``dwi.nii.gz``, ``dwi.bval``, ``dwi.bvec`` and the brain's mask."""
    generator = np.random.default_rng(1)
    inside = brain()
    b_values = np.array([0.0, *[1000.0] * directions])
    diffusivity = np.where(inside, 0.7 + 0.3 * generator.random(SHAPE), 3.0)
    signal = np.where(inside, 1000 + 200 * generator.random(SHAPE), 20)
    volumes = signal[..., None] * np.exp(-b_values / 1000 * diffusivity[..., None])
    folder.mkdir(parents=True)
    write_volume(folder / "dwi.nii.gz", volumes.astype(np.float32), AFFINE)
    write_volume(folder / "mask.nii.gz", inside.astype(np.uint8), AFFINE)
    np.savetxt(folder / "dwi.bval", b_values[None], fmt="%g")
    np.savetxt(folder / "dwi.bvec", np.vstack([np.zeros(3), sphere(directions)]).T, fmt="%.6f")
    return folder
