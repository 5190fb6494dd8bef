from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from medbundles.components.class_overlay import UNKNOWN, draw_classes, label_classes
from medbundles.components.handlers import SegmentationPreview
from medbundles.components.overlay import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    LEGEND,
    TRUE_POSITIVE,
    draw_overlay,
    even_slices,
    radiological_affine,
    sheet,
    telling_slices,
    to_gray,
    to_radiological,
)

RAS = np.eye(4)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Rows run to the head, columns to the back, slices to the left.
SAGITTAL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def marked(affine: np.ndarray, world: tuple[float, float, float]) -> np.ndarray:
    """A volume of 11 voxels each way, centred on the origin, with one voxel set at a world position (RAS mm)."""
    volume = np.zeros((11, 11, 11))
    index = np.round(np.linalg.inv(affine[:3, :3]) @ world).astype(int) + 5
    volume[tuple(index)] = 1
    return volume


@pytest.mark.parametrize("affine", [RAS, LPS, SAGITTAL], ids=["RAS", "LPS", "sagittal"])
@pytest.mark.parametrize(
    ("world", "place"),
    [((-4, 0, 0), (5, 9)), ((4, 0, 0), (5, 1)), ((0, 4, 0), (1, 5)), ((0, -4, 0), (9, 5))],
    ids=["left", "right", "anterior", "posterior"],
)
def test_the_patients_left_is_on_the_pictures_right_and_anterior_is_up(
    affine: np.ndarray, world: tuple[float, float, float], place: tuple[int, int]
) -> None:
    picture = to_radiological(marked(affine, world), affine)[..., 5]
    assert tuple(np.argwhere(picture)[0]) == place


@pytest.mark.parametrize("affine", [RAS, SAGITTAL], ids=["RAS", "sagittal"])
def test_slices_run_from_the_feet_to_the_head(affine: np.ndarray) -> None:
    assert to_radiological(marked(affine, (0, 0, 4)), affine)[..., 9].any()


def test_found_missed_and_false_have_their_colors() -> None:
    prediction, label = np.array([[1, 0, 1, 0]]), np.array([[1, 1, 0, 0]])
    picture = draw_overlay(np.full((1, 4), -1000.0), prediction, label)
    shares = picture[0] / 255
    expected = [0.6 * np.array(color) / 255 for color in (TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE, (0, 0, 0))]
    np.testing.assert_allclose(shares, expected, atol=0.005)


@pytest.mark.parametrize("affine", [RAS, LPS, SAGITTAL], ids=["RAS", "LPS", "sagittal"])
def test_a_pixel_of_the_picture_knows_its_place_in_the_world(affine: np.ndarray) -> None:
    affine = affine.copy()
    affine[:3, 3] = -5 * affine[:3, :3].sum(axis=1)
    picture = to_radiological(marked(affine, (-4, 3, 2)), affine)
    place = radiological_affine(affine, (11, 11, 11)) @ [*np.argwhere(picture)[0], 1]
    np.testing.assert_allclose(place[:3], (-4, 3, 2), atol=1e-12)


def test_a_legend_has_room_for_its_words() -> None:
    picture = sheet([[to_gray(np.zeros((2, 2)), (0, 1))]], ["a"], tile=20)
    assert picture.shape[1] > 300


def test_the_legend_names_what_it_counts() -> None:
    assert [name for name, _ in LEGEND] == ["true positive", "false negative", "false positive"]


def test_the_window_maps_to_black_and_white_and_broken_voxels_to_something() -> None:
    gray = to_gray(np.array([[-2000.0, -1000.0, -300.0, 400.0, np.nan]]), (-1000.0, 400.0))
    assert gray[0, :, 0].tolist() == [0, 0, 127, 255, 182]


@pytest.mark.parametrize(("depth", "expected"), [(70, [10, 20, 30, 40, 50, 60]), (3, [0, 1, 2]), (1, [0])])
def test_slices_are_spaced_evenly(depth: int, expected: list[int]) -> None:
    assert even_slices(depth, 6) == expected


def test_half_of_the_slices_show_the_label() -> None:
    label = np.zeros((4, 4, 100))
    label[..., 90:95] = 1
    chosen = telling_slices(label, 6)
    assert len(chosen) == 6
    assert sum(90 <= k < 95 for k in chosen) >= 3


@pytest.mark.parametrize("depth", [1, 4])
def test_thin_volumes_show_what_they_have(depth: int) -> None:
    assert telling_slices(np.ones((2, 2, depth)), 6) == list(range(depth))


def test_a_sheet_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows of pictures"):
        sheet([], [])


def test_a_sheet_needs_a_title_for_every_row() -> None:
    with pytest.raises(ValueError, match="as many titles, got 2"):
        sheet([[to_gray(np.zeros((2, 2)), (0, 1))]], ["a", "b"])


def validate(preview: SegmentationPreview, cases: dict[str, dict[str, Any]], epoch: int = 1) -> None:
    def step(engine: Engine, case: str) -> list[dict[str, Any]]:
        engine.state.epoch = epoch
        engine.state.batch = [{"case": case}]
        return [cases[case]]

    engine = Engine(step)
    preview.attach(engine)
    engine.run(list(cases), max_epochs=1)


def item(label: torch.Tensor | None = None, affine: np.ndarray = RAS) -> dict[str, Any]:
    image = MetaTensor(torch.full((1, 16, 16, 8), -1000.0), affine=torch.as_tensor(affine))
    label = torch.zeros(1, 16, 16, 8) if label is None else label
    return {"image": image, "label": label, "pred": label.clone()}


def test_a_nodule_in_the_left_lung_is_on_the_right_of_the_sheet(tmp_path: Path) -> None:
    label = torch.zeros(1, 16, 16, 8)
    label[:, :3, 6:10] = 1
    validate(SegmentationPreview(tmp_path, slices=1, tensorboard=False), {"a": item(label)})
    picture = np.asarray(Image.open(tmp_path / "previews/epoch_0001.png"))
    tile = picture[30:270, :256].astype(int)
    green = (tile[..., 1] > 80) & (tile[..., 0] < 80)
    assert np.argwhere(green)[:, 1].mean() > 200


def test_the_cases_of_the_first_validation_are_shown_ever_after(tmp_path: Path) -> None:
    preview = SegmentationPreview(tmp_path, cases=2, tensorboard=False)
    validate(preview, {"a": item(), "b": item(), "c": item()})
    validate(preview, {"c": item(), "b": item(), "a": item()}, epoch=2)
    assert preview.cases == ["a", "b"]
    heights = [Image.open(path).height for path in sorted((tmp_path / "previews").iterdir())]
    assert len(heights) == 2
    assert heights[0] == heights[1]


def test_named_cases_are_shown_where_they_are(tmp_path: Path) -> None:
    preview = SegmentationPreview(tmp_path, cases=["b", "missing"], tensorboard=False)
    validate(preview, {"a": item(), "b": item()})
    assert Image.open(tmp_path / "previews/epoch_0001.png").height < 2 * 256


def test_no_known_case_writes_no_sheet(tmp_path: Path) -> None:
    validate(SegmentationPreview(tmp_path, cases=["missing"], tensorboard=False), {"a": item()})
    assert not (tmp_path / "previews").exists()


def test_tensorboard_gets_six_slices_of_every_case(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    validate(SegmentationPreview(tmp_path), {"a": item(), "b": item()})
    events = EventAccumulator(str(tmp_path / "tensorboard/previews")).Reload()
    assert len(events.Tags()["images"]) == 12


def white_at_the_left(path: Path) -> bool:
    return bool((np.asarray(Image.open(path))[60:220, :30] > 200).all(axis=-1).any())


@pytest.mark.parametrize("affine", [RAS, LPS], ids=["RAS", "LPS"])
def test_the_patients_right_is_marked(tmp_path: Path, affine: np.ndarray) -> None:
    validate(SegmentationPreview(tmp_path, slices=1, tensorboard=False), {"a": item(affine=affine)})
    assert white_at_the_left(tmp_path / "previews/epoch_0001.png")


def test_an_image_that_does_not_know_its_orientation_has_no_mark(tmp_path: Path) -> None:
    unknown = {name: torch.as_tensor(np.asarray(tensor)) for name, tensor in item().items()}
    validate(SegmentationPreview(tmp_path, slices=1, tensorboard=False), {"a": unknown})
    assert not white_at_the_left(tmp_path / "previews/epoch_0001.png")


def test_thick_voxels_keep_the_patients_proportions(tmp_path: Path) -> None:
    thick = item(affine=np.diag([1.0, 0.25, 1.0, 1.0]))
    thick["image"] = thick["image"] * 0
    validate(SegmentationPreview(tmp_path, slices=1, tensorboard=False), {"a": thick})
    gray = np.asarray(Image.open(tmp_path / "previews/epoch_0001.png"))[23:279, 132] > 100
    assert gray.all(axis=-1).sum() == pytest.approx(64, abs=2)


def test_an_evaluation_names_its_pictures_after_the_cases(tmp_path: Path) -> None:
    validate(SegmentationPreview(tmp_path, tensorboard=False, per_case=True), {"a": item(), "scan 2": item()})
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["a.png", "scan 2.png"]


BLUE, RED = (40, 160, 240), (230, 60, 40)


def test_classes_are_filled_where_predicted_and_lined_where_labelled() -> None:
    prediction, label = np.zeros((2, 9, 9), int)
    prediction[1:4, 1:4], label[5:9, 2:7] = 1, 2
    label[6, 8] = -1
    picture = draw_classes(np.full((9, 9), -1000.0), prediction, label, [BLUE, RED])
    np.testing.assert_allclose(picture[2, 2], 0.6 * np.array(BLUE), atol=1)
    assert tuple(picture[5, 4]) == RED
    assert tuple(picture[6, 4]) == (0, 0, 0)
    assert tuple(picture[6, 8]) == UNKNOWN


def test_a_label_of_channels_becomes_numbers_of_classes() -> None:
    channels = np.array([[0, 1, 0, -1], [0, 0, 1, -1]])[:, :, None, None]
    assert label_classes(channels).ravel().tolist() == [0, 1, 2, -1]


def test_a_preview_of_two_classes_has_their_colors(tmp_path: Path) -> None:
    label = torch.zeros(2, 16, 16, 8)
    label[1, 4:12, 4:12] = 1
    shown = item(label) | {"pred": torch.stack([label[1] * 0.9, label[1] * 0.2])}
    colors = {"benign": BLUE, "malignant": RED}
    validate(SegmentationPreview(tmp_path, slices=1, tensorboard=False, classes=colors), {"a": shown})
    tile = np.asarray(Image.open(tmp_path / "previews/epoch_0001.png"))[30:270, :256].astype(int)
    middle = tile[100:140, 108:148].mean(axis=(0, 1))
    assert middle[2] > 2 * middle[0]  # predicted benign
    assert ((tile[..., 0] > 180) & (tile[..., 2] < 90)).any()  # labelled malignant


def test_a_single_class_is_drawn_as_right_and_wrong(tmp_path: Path) -> None:
    pictures = []
    for name, classes in (("without", None), ("with", {"nodule": RED})):
        validate(SegmentationPreview(tmp_path / name, tensorboard=False, classes=classes), {"a": item()})
        pictures.append((tmp_path / name / "previews/epoch_0001.png").read_bytes())
    assert pictures[0] == pictures[1]
