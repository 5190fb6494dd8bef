"""What counts as lungs holds every nodule that readers marked, in whole scans, slabs and crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbundles.components.inferers import find_lungs
from medbundles.io.images import read_volume

pytestmark = pytest.mark.real

SCANS = {
    "lidc_idri_0314_lungbox": ("ct.nii.gz", "nodule_votes.nii.gz"),
    "lidc_idri_crops/nifti/LIDC-IDRI-0001": ("ct.nii.gz", "nodule_votes.nii.gz"),
    "lidc_idri_crops/nifti/LIDC-IDRI-0003": ("ct.nii.gz", "nodule_votes.nii.gz"),
    "pyradiomics_lung1": ("lung1_image.nrrd", "lung1_label.nrrd"),
}


@pytest.mark.parametrize("scan", SCANS)
def test_every_marked_nodule_counts_in_any_part_of_the_scan(real_data: Path, scan: str) -> None:
    image_name, label_name = SCANS[scan]
    image = read_volume(real_data / "lung_ct" / scan / image_name)
    marked = np.argwhere(read_volume(real_data / "lung_ct" / scan / label_name).array > 0)
    generator = np.random.default_rng(0)
    for attempt in range(12):
        start, stop = np.zeros(3, int), np.array(image.array.shape)
        if attempt:
            # A part around a nodule: from a slice or a third of the field of view to nearly everything.
            center = marked[generator.integers(len(marked))]
            size = (stop * generator.uniform((0.35, 0.35, 0.0), 1.0)).astype(int) + 1
            start = np.clip(center - size // 2, 0, stop - size)
            stop = start + size
        part = tuple(slice(low, high) for low, high in zip(start, stop, strict=True))
        tissue = find_lungs(image.array[part], image.spacing)
        if tissue is None:
            continue
        inside = marked[((marked >= start) & (marked < stop)).all(axis=1)] - start
        everything = (slice(0, int(size)) for size in (stop - start)[:2])
        counts = tissue.inside(*everything, range(int((stop - start)[2]))).transpose(1, 2, 0)
        assert counts[tuple(inside.T)].all()
        for axis, bounds in enumerate(tissue.box):
            assert (inside[:, axis] >= bounds.start).all()
            assert (inside[:, axis] < bounds.stop).all()
