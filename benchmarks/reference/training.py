"""A fair baseline: the training loop of the reference system, rebuilt from its published description.

"Deep Learning with PyTorch" (Stevens, Antiga, Viehmann), chapter 13: around each nodule seven slices of 96x96 are kept,
compressed, on disk; an item is a random 64x64 window of them; batches of 16 get one affine transform and noise on the
device, go through the network, soft Dice plus 8 x soft Dice of what lies inside the label, Adam; the counts of each
batch are kept for the epoch's figures. It exists to be measured against; nothing else uses it.
"""

from __future__ import annotations

import gzip
import math
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from medbundles.components.transforms import LoadVolumed
from medbundles.io.datalist import records
from reference.unet import ReferenceUNet

CROP, PATCH, SLICES, BATCH = 96, 64, 7, 16
WINDOW_HU = (-1000, 1000)


def fill_cache(dataset_dir: Path, folder: Path) -> list[Path]:
    """Cut a chunk around every nodule of the training part and write it gzipped, as fast as gzip goes (level 1)."""
    paths: list[Path] = []
    for record in records(dataset_dir.resolve(), "training", 0):
        item = LoadVolumed(["image", "label"])({"image": record["image"], "label": record["label"]})
        image, label = (np.asarray(item[key][0]) for key in ("image", "label"))
        to_voxel = np.linalg.inv(np.asarray(item["image"].affine))
        for nodule in record.get("nodules", []):
            x, y, z = nodule["center_lps_mm"]
            center = np.rint(to_voxel @ (-x, -y, z, 1))[:3].astype(int)
            path = folder / f"{len(paths)}.gz"
            chunk = (_cut(image, center).clip(*WINDOW_HU).astype(np.float32), _cut(label, center)[..., SLICES // 2] > 0)
            path.write_bytes(gzip.compress(pickle.dumps(chunk), compresslevel=1))
            paths.append(path)
    return paths


def _cut(volume: np.ndarray, center: np.ndarray) -> np.ndarray:
    starts = [int(np.clip(center[axis] - CROP // 2, 0, volume.shape[axis] - CROP)) for axis in (0, 1)]
    rows, columns = (slice(start, start + CROP) for start in starts)
    levels = np.clip(center[2] + np.arange(SLICES) - SLICES // 2, 0, volume.shape[2] - 1)
    return volume[rows, columns][..., levels]


class Chunks(Dataset[tuple[Tensor, Tensor]]):
    """Random windows of the cached chunks, as many as are asked for."""

    def __init__(self, paths: list[Path], length: int) -> None:
        self.paths = paths
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label = pickle.loads(gzip.decompress(self.paths[index % len(self.paths)].read_bytes()))
        row, column = torch.randint(0, CROP - PATCH, (2,)).tolist()
        window = (slice(row, row + PATCH), slice(column, column + PATCH))
        return (
            torch.from_numpy(np.ascontiguousarray(image[window].transpose(2, 0, 1))),
            torch.from_numpy(label[window].astype(np.float32))[None],
        )


def augment(image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """One random flip, shift, scale and rotation for the whole batch; noise of 25 HU."""
    matrix = torch.eye(3)
    for axis in (0, 1):
        matrix[axis, axis] *= -1 if torch.rand(()) > 0.5 else 1
        matrix[axis, axis] *= 1 + 0.2 * (2 * torch.rand(()) - 1)
        matrix[axis, 2] = 0.1 * (2 * torch.rand(()) - 1)
    angle = float(torch.rand(())) * 2 * math.pi
    sine, cosine = math.sin(angle), math.cos(angle)
    matrix @= torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    grid = functional.affine_grid(matrix[:2].expand(len(image), -1, -1), list(image.shape), align_corners=False)
    image = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    label = functional.grid_sample(label, grid, padding_mode="border", align_corners=False)
    return image + 25.0 * torch.randn_like(image), (label > 0.5).float()


def dice_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Soft Dice of each item, eps 1."""
    overlap = (probability * label).sum(dim=(1, 2, 3))
    return 1 - (2 * overlap + 1) / (probability.sum(dim=(1, 2, 3)) + label.sum(dim=(1, 2, 3)) + 1)


def train(paths: list[Path], crops: int, workers: int) -> float:
    """Train for so many crops after a warm-up of five batches; returns crops a second, loading included."""
    torch.manual_seed(0)
    network = ReferenceUNet(SLICES).train()
    optimizer = torch.optim.Adam(network.parameters())
    chunks = Chunks(paths, crops + 5 * BATCH)
    loader = DataLoader(chunks, batch_size=BATCH, num_workers=workers)
    counts = torch.zeros(3, len(chunks))
    start = time.perf_counter()
    for number, (image, label) in enumerate(loader):
        if number == 5:
            start = time.perf_counter()
        image, label = augment(image, label)
        optimizer.zero_grad()
        probability = network(image)
        loss = (dice_loss(probability, label) + 8 * dice_loss(probability * label, label)).mean()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            sure = probability > 0.5
            parts = (sure & (label > 0), ~sure & (label > 0), sure & (label == 0))
            for row, part in enumerate(parts):
                counts[row, number * BATCH : number * BATCH + len(image)] = part.sum(dim=(1, 2, 3))
    return crops / (time.perf_counter() - start)
