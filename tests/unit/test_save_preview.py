"""The picture of a scan's findings shows each at its place, on its side, with its number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data.meta_tensor import MetaTensor
from monai.transforms import CenterSpatialCropd
from PIL import Image

from medbundles.components.finding_sheet import LUNG_WINDOW, NOTHING_FOUND, RING, ShownScan, draw_finding
from medbundles.components.handlers import NoduleTables
from medbundles.components.nodules import find_nodules
from medbundles.components.slice_frame import SliceFrame
from medbundles.components.transforms import LoadVolumed, SavePreviewd
from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.images import write_volume

CENTER = np.array([10.0, -20.0, 300.0])
LEFT, RIGHT = (-8.0, 0.0, 0.0), (8.0, 0.0, 0.0)
AIR, TISSUE = -1000, 100


def affine_of(codes: str, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), degrees: float = 0.0) -> np.ndarray:
    """The affine of axes towards ``codes``, turned about the body's long axis."""
    affine = np.zeros((4, 4))
    for axis, code in enumerate(codes):
        world = next(index for index, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[world, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[3, 3] = 1
    return affine


def scan(
    affine: np.ndarray, places: dict[tuple[float, float, float], float], shape: tuple[int, int, int] = (40, 40, 40)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Air with balls of tissue of 3 mm radius at places (RAS mm from the middle), their probabilities, the affine."""
    affine = affine.copy()
    affine[:3, 3] = CENTER - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    image, probabilities = np.full(shape, AIR, np.int16), np.zeros(shape, np.float32)
    for place, probability in places.items():
        ball = np.linalg.norm(points - (CENTER + place), axis=-1) < 3
        image[ball], probabilities[ball] = TISSUE, probability
    return image, probabilities, affine


def item(folder: Path, affine: np.ndarray, places: dict[tuple[float, float, float], float]) -> dict[Any, Any]:
    """The item that an inference's postprocessing gets."""
    image, probabilities, affine = scan(affine, places)
    write_volume(folder / "scan.nii.gz", image, affine)
    write_volume(folder / "probabilities.nii.gz", probabilities, affine)
    loaded = LoadVolumed("image")({"image": folder / "scan.nii.gz", "case": "scan 1"})
    prediction = LoadVolumed("image")({"image": folder / "probabilities.nii.gz"})["image"]
    loaded["pred"] = MetaTensor(prediction.as_tensor()).copy_meta_from(loaded["image"])
    return loaded


def saved(folder: Path, data: dict[Any, Any], **options: Any) -> Image.Image:
    SavePreviewd(folder, **options)(data)
    return Image.open(folder / "scan 1_preview.png")


def ring(picture: np.ndarray) -> np.ndarray:
    """Rows and columns of the pixels in the ring's color."""
    return np.argwhere((picture == RING).all(axis=-1))


def overview(affine: np.ndarray, place: tuple[float, float, float]) -> np.ndarray:
    """The whole slice of a scan's only finding."""
    image, probabilities, affine = scan(affine, {place: 0.9})
    shown = ShownScan.of(image, probabilities > 0.5, affine, LUNG_WINDOW)
    (finding,) = find_nodules(probabilities, affine, "a")
    return draw_finding(shown, finding, ["1"])[: shown.whole().size[1], : shown.whole().size[0]]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SAL"])
@pytest.mark.parametrize(("place", "on_the_right"), [(LEFT, True), (RIGHT, False)], ids=["left", "right"])
def test_a_finding_in_the_patients_left_is_ringed_in_the_right_half(
    tmp_path: Path, codes: str, place: tuple[float, float, float], on_the_right: bool
) -> None:
    picture = np.asarray(saved(tmp_path, item(tmp_path, affine_of(codes), {place: 0.9})))
    # The slice, without the detail beside it and the words above and below.
    columns = ring(picture[75:450, :380])[:, 1]
    assert columns.size
    assert (columns > 190).all() == on_the_right
    assert (columns < 190).all() != on_the_right


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS"])
def test_the_r_stands_at_the_patients_right(codes: str) -> None:
    picture = overview(affine_of(codes), RIGHT)
    letter = np.argwhere((picture > 200).all(axis=-1))
    assert letter[:, 1].min() < 20
    assert abs(ring(picture)[:, 1].mean() - letter[:, 1].min()) < picture.shape[1] / 2


def test_anterior_is_up() -> None:
    picture = overview(affine_of("LPS"), (0.0, 16.0, 0.0))
    assert ring(picture)[:, 0].max() < picture.shape[0] / 2


@pytest.mark.parametrize(
    "affine",
    [affine_of("LAS", (1.0, 0.6, 2.5)), affine_of("PSR", (0.7, 2.0, 1.3)), affine_of("LPS", (0.8, 1.0, 2.0), 25.0)],
    ids=["anisotropic", "sagittal", "oblique"],
)
def test_the_ring_is_around_the_finding(affine: np.ndarray) -> None:
    picture = overview(affine, (4.0, -6.0, 3.0))
    tissue = np.argwhere((picture > 240).all(axis=-1))
    tissue = tissue[tissue[:, 1] > 40]
    rows, columns = ring(picture).T
    # The number beside the ring has its color, but not its height.
    circle = columns[rows == rows.min()].mean(), (rows.min() + rows.max()) / 2
    assert circle[1] == pytest.approx(tissue[:, 0].mean(), abs=6)
    assert circle[0] == pytest.approx(tissue[:, 1].mean(), abs=6)


def test_a_ball_is_round_in_thick_voxels() -> None:
    picture = overview(affine_of("LAS", (1.0, 0.5, 2.0)), (0.0, 0.0, 0.0))
    tissue = np.argwhere((picture > 200).all(axis=-1))
    height, width = np.ptp(tissue[tissue[:, 1] > 40], axis=0)
    assert height == pytest.approx(width, rel=0.25)


def test_findings_have_the_numbers_of_their_rows_in_the_tables(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.75, RIGHT: 0.875, (0.0, 16.0, 6.0): 0.625})
    tables = NoduleTables(tmp_path / "tables")
    engine = Engine(lambda engine, batch: [batch])
    tables.attach(engine)
    engine.run([data])
    words = saved(tmp_path, data).text["Description"].splitlines()
    rows = [line.split(",") for line in (tmp_path / "tables/nodules.csv").read_text().splitlines()]
    peak, diameter = rows[0].index("peak_probability"), rows[0].index("diameter_mm")
    expected = [
        f"{number}, probability {float(row[peak]):.3f}, diameter {float(row[diameter]):.1f} mm"
        for number, row in enumerate(rows[1:], 1)
    ]
    assert [line.rpartition(",")[0] for line in words if ", diameter" in line] == expected


def test_what_the_tables_leave_out_is_not_shown(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.75, RIGHT: 0.875})
    assert "1 finding," in saved(tmp_path, data, peak_threshold=0.8).text["Description"]


def test_findings_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.75, RIGHT: 0.875})
    assert "1 of 2 findings" in saved(tmp_path, data, limit=1).text["Description"]


def test_a_scan_without_findings_says_so(tmp_path: Path) -> None:
    picture = saved(tmp_path, item(tmp_path, affine_of("LPS"), {LEFT: 0.4}))
    assert NOTHING_FOUND in picture.text["Description"]
    assert not ring(np.asarray(picture)).size


def test_every_picture_tells_its_window_and_what_it_is_not(tmp_path: Path) -> None:
    words = saved(tmp_path, item(tmp_path, affine_of("LPS"), {LEFT: 0.9})).text["Description"]
    assert "lung window -1350 to 150 HU" in words
    assert "not a medical device" in words


def test_a_volume_of_one_slice_has_a_picture(tmp_path: Path) -> None:
    image, probabilities, affine = scan(affine_of("LPS"), {LEFT: 0.9}, shape=(40, 30, 1))
    shown = ShownScan.of(image, probabilities > 0.5, affine, LUNG_WINDOW)
    (finding,) = find_nodules(probabilities, affine, "a")
    assert ring(draw_finding(shown, finding, ["1"])).size


@pytest.mark.parametrize(
    ("center", "start"), [((0.0, 0.0), (0, 0)), ((99.0, 49.0), (80, 40)), ((50.5, 20.5), (41, 16))]
)
def test_a_detail_stays_within_its_slice(center: tuple[float, float], start: tuple[int, int]) -> None:
    frame = SliceFrame.around(center, (100, 50), (0.5, 1.0), 10.0, edge=200)
    assert (frame.top, frame.left, frame.shape, frame.size) == (*start, (20, 10), (200, 200))


def test_a_slice_smaller_than_the_detail_is_shown_whole() -> None:
    assert SliceFrame.around((3, 3), (8, 6), (1.0, 1.0), 60.0, edge=80).shape == (8, 6)


def test_an_existing_preview_is_not_replaced(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.9})
    SavePreviewd(tmp_path)(data)
    with pytest.raises(OutputConflict, match="scan 1_preview"):
        SavePreviewd(tmp_path)(data)


def test_overwrite_replaces_an_existing_preview(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.9})
    SavePreviewd(tmp_path)(data)
    data["pred"] *= 0
    assert NOTHING_FOUND in saved(tmp_path, data, overwrite=True).text["Description"]


@pytest.mark.parametrize("options", [{"limit": 0}, {"window": (150, -1350)}], ids=["limit", "window"])
def test_what_would_show_nothing_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="limit must be at least 1 and window rise"):
        SavePreviewd(tmp_path, **options)


def test_a_prediction_on_another_grid_is_refused_rather_than_drawn_elsewhere(tmp_path: Path) -> None:
    data = CenterSpatialCropd("pred", (30, 30, 30))(item(tmp_path, affine_of("LPS"), {LEFT: 0.9}))
    with pytest.raises(ValueError, match="not on the grid"):
        SavePreviewd(tmp_path)(data)
    assert not list(tmp_path.glob("*.png"))


def test_an_item_without_a_prediction_is_refused(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.9})
    del data["pred"]
    with pytest.raises(KeyError, match="pred"):
        SavePreviewd(tmp_path)(data)


CLASSES = {"benign": (40, 160, 240), "malignant": (230, 60, 40)}


def test_the_edge_and_the_caption_of_a_finding_say_its_class(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.8})
    data["pred"] = MetaTensor(torch.cat([data["pred"] / 4, data["pred"]])).copy_meta_from(data["image"])
    picture = saved(tmp_path, data, classes=CLASSES)
    assert "malignant 80%" in picture.info["Description"]
    detail = np.asarray(picture)[75:320, 388:628]
    assert (detail == CLASSES["malignant"]).all(axis=-1).any()
    assert not (detail == CLASSES["benign"]).all(axis=-1).any()


def test_a_single_class_is_not_named(tmp_path: Path) -> None:
    data = item(tmp_path, affine_of("LPS"), {LEFT: 0.8})
    before = saved(tmp_path, data).tobytes()
    assert saved(tmp_path, data, classes={"nodule": (230, 60, 40)}, overwrite=True).tobytes() == before
