"""A prepared data set of small chest phantoms, and the ways to run a bundle on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from medbundles.io.datalist import write_datalist
from medbundles.io.images import write_volume
from medbundles.prepare.decathlon import prepare as prepare_task
from tests.bundles import heads, tumors
from tests.decathlon_layout import write_task
from tests.forked_command import run_forked

ROOT = Path(__file__).parents[2]
CONFIGS = "bundles/lung_nodule_ct_segmentation/configs"
HEAD_CONFIGS = "bundles/t1w_synthesis/configs"
TUMOR_CONFIGS = "bundles/brain_tumor_mri_segmentation/configs"
ORGAN_CONFIGS = "bundles/organ_cascade_segmentation/configs"
# What makes a training a matter of seconds.
QUICK = ("--max_epochs", "2", "--samples_per_epoch", "48", "--val_interval", "1", "--preview_cases", "2")

# Enough for a network that finds something: its findings are compared, not judged.
SOME = ("--max_epochs", "2", "--samples_per_epoch", "480", "--val_interval", "1", "--preview_cases", "2")

# Blocks as small as the networks take.
QUICK_HEADS = ("--max_epochs", "2", "--samples_per_epoch", "8", "--val_interval", "1", "--patch_size", "[32,32,32]")

# Small blocks, and a network of a few thousand weights.
QUICK_TUMORS = (
    *("--max_epochs", "2", "--samples_per_epoch", "8", "--val_interval", "1", "--patch_size", "[32,32,32]"),
    *("--spacing_mm", "2.0", "--preview_cases", "1"),
)

# Small boxes of small images.
QUICK_ORGANS = (
    *("--max_epochs", "2", "--samples_per_epoch", "8", "--val_interval", "1", "--patch_size", "[16,16,16]"),
    *("--networks::SqueezeExcitationUNet::channels", "[4,8,8,8]", "--preview_cases", "1"),
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def chest_phantom(generator: np.random.Generator, nodules: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Return a CT ``(112, 96, 24)`` in HU with two lungs and its nodule mask."""
    shape = (112, 96, 24)
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"), axis=-1)
    image = np.full(shape, -1000.0)
    image[((grid[..., 0] - 56) / 50) ** 2 + ((grid[..., 1] - 48) / 40) ** 2 < 1] = 40
    for center in (34, 78):
        image[((grid[..., 0] - center) / 17) ** 2 + ((grid[..., 1] - 48) / 28) ** 2 < 1] = -850
    label = np.zeros(shape, np.uint8)
    for _ in range(nodules):
        place = np.array([generator.choice([34, 78]), 48, 2]) + generator.integers([-7, -14, 0], [7, 14, 20])
        distance = np.linalg.norm((grid - place) * [0.8, 0.8, 2.5], axis=-1)
        label[distance < generator.uniform(3, 6)] = 1
    image[label > 0] = 30
    return (image + generator.normal(0, 30, shape)).round().astype(np.int16), label


@pytest.fixture(scope="session")
def chest_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder: six training scans in three folds, two test scans; some without nodules."""
    folder = tmp_path_factory.mktemp("chest")
    generator = np.random.default_rng(0)
    # LPS voxel order as most scanners write it: reading must turn it to RAS and writing back.
    affine = np.array([[-0.8, 0, 0, 50], [0, -0.8, 0, 40], [0, 0, 2.5, -100], [0, 0, 0, 1.0]])
    records = []
    for number in range(8):
        case = f"chest {number}"
        image, label = chest_phantom(generator, nodules=0 if number in (2, 7) else 2)
        write_volume(folder / "images" / f"{case}.nii.gz", image, affine)
        write_volume(folder / "labels" / f"{case}.nii.gz", label, affine)
        files = {"image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz"}
        records.append({**files, "case": case, "subject": case, "fold": number % 3})
    write_datalist(folder, records[:6], records[6:])
    return folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every run: a cache of its own, and as many threads as a test deserves."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "MEDBUNDLES_CACHE": str(cache), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def python(environment: dict[str, str]) -> Run:
    """``python(*arguments) -> CompletedProcess``, run in the repository's root."""

    def run(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        if arguments[0] == "-m" and arguments[1] in ("medbundles", "monai.bundle"):
            return run_forked(str(arguments[1]), arguments[2:], ROOT, environment, timeout)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


@pytest.fixture(scope="session")
def train(python: Run, chest_data: Path) -> Run:
    """``train(output_dir, *overrides)`` by MONAI's own command on the chest phantoms."""

    def run(
        output_dir: Path, *overrides: str | Path, quick: tuple[str, ...] = QUICK
    ) -> subprocess.CompletedProcess[str]:
        bundle = ("-m", "monai.bundle", "run", "training", "--config_file", f"{CONFIGS}/train.yaml")
        return python(*bundle, "--dataset_dir", chest_data, "--output_dir", output_dir, *quick, *overrides)

    return run


@pytest.fixture(scope="session")
def trained(train: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training that every test of evaluation and inference shares."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    result = train(folder, quick=SOME)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="session")
def head_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of small heads: four for training in two folds, one for testing."""
    return heads.write_prepared(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="session")
def train_heads(python: Run, head_data: Path) -> Run:
    """``train_heads(output_dir, *overrides)`` by MONAI's own command on the small heads."""

    def run(output_dir: Path, *overrides: str | Path) -> subprocess.CompletedProcess[str]:
        bundle = ("-m", "monai.bundle", "run", "training", "--config_file", f"{HEAD_CONFIGS}/train.yaml")
        return python(*bundle, "--dataset_dir", head_data, "--output_dir", output_dir, *QUICK_HEADS, *overrides)

    return run


@pytest.fixture(scope="session")
def trained_heads(train_heads: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training of t1w_synthesis."""
    folder = tmp_path_factory.mktemp("trained_heads") / "run"
    result = train_heads(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="session")
def tumor_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of small brains: four for training in two folds, two for testing, one of them without tumor."""
    return tumors.write_prepared(tmp_path_factory.mktemp("tumors"))


@pytest.fixture(scope="session")
def train_tumors(python: Run, tumor_data: Path) -> Run:
    """``train_tumors(output_dir, *overrides, data=None)`` by MONAI's own command on the small brains."""

    def run(
        output_dir: Path, *overrides: str | Path, data: Path = tumor_data, overlay: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        files = [f"{TUMOR_CONFIGS}/{name}.yaml" for name in ("train", overlay) if name]
        bundle = ("-m", "monai.bundle", "run", "training", "--config_file", str(files))
        return python(*bundle, "--dataset_dir", data, "--output_dir", output_dir, *QUICK_TUMORS, *overrides)

    return run


@pytest.fixture(scope="session")
def trained_tumors(train_tumors: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training of brain_tumor_mri_segmentation."""
    folder = tmp_path_factory.mktemp("trained_tumors") / "run"
    result = train_tumors(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="session")
def organ_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared task of six small images: four for training in two folds, two for testing."""
    folder = tmp_path_factory.mktemp("organs")
    source = write_task(folder / "Task99_Organ")
    split = folder / "split.json"
    names = [f"case_{number:03d}" for number in range(6)]
    split.write_text(json.dumps({"testing": names[4:], "folds": [names[:2], names[2:4]]}))
    prepare_task(source, folder / "data", split=str(split), workers=1)
    return folder / "data"


@pytest.fixture(scope="session")
def train_organs(python: Run, organ_data: Path) -> Run:
    """``train_organs(output_dir, *overrides, data=None)`` by MONAI's own command on the small task."""

    def run(
        output_dir: Path, *overrides: str | Path, data: Path = organ_data, overlay: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        files = [f"{ORGAN_CONFIGS}/{name}.yaml" for name in ("train", overlay) if name]
        bundle = ("-m", "monai.bundle", "run", "training", "--config_file", str(files))
        quick = QUICK_ORGANS[:6] if overlay else QUICK_ORGANS
        return python(*bundle, "--dataset_dir", data, "--output_dir", output_dir, *quick, *overrides)

    return run


@pytest.fixture(scope="session")
def trained_organs(train_organs: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training of organ_cascade_segmentation."""
    folder = tmp_path_factory.mktemp("trained_organs") / "run"
    result = train_organs(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder
