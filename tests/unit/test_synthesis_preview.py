"""Pictures of synthetic volumes show each plane the right way round, in the patient's proportions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data.meta_tensor import MetaTensor
from PIL import Image

from medbundles.components.handlers import SynthesisPreview
from medbundles.components.metrics import SynthesisQuality
from medbundles.components.overlay import Picture
from medbundles.components.synthesis_sheet import DIVERGING, ShownSynthesis, draw_synthesis, to_diverging
from medbundles.errors import ConfigurationError

SHAPE = (30, 30, 30)
RAS = np.eye(4)
LAS = np.diag([-1.0, 1.0, 1.0, 1.0])
# Rows run to the head, columns to the back, slices to the left.
SAGITTAL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
OBLIQUE = np.array([[-0.98, -0.17, 0, 0], [0.17, -0.98, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
AFFINES = pytest.mark.parametrize(
    "affine", [RAS, LAS, SAGITTAL, OBLIQUE], ids=["RAS", "LAS", "sagittal", "oblique LPS"]
)


def places(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Where the voxels lie, RAS mm from the middle of the volume."""
    return (np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2) @ affine[:3, :3].T


def item(affine: np.ndarray = RAS, bright: tuple[float, float, float] = (0, 0, 0), **more: Any) -> dict[str, Any]:
    """A ball of brain whose synthetic volume is too bright in a small ball about a place (RAS mm)."""
    shape = more.pop("shape", SHAPE)
    mask = np.linalg.norm(places(affine, shape), axis=-1) < 13
    wrong = 5.0 * (np.linalg.norm(places(affine, shape) - np.array(bright), axis=-1) < 3)
    ramp = places(affine, shape)[..., 2] / 10
    arrays = {"image": 300 + 50 * ramp, "label": ramp * mask, "pred": ramp + wrong, "mask": mask}
    made = {
        key: MetaTensor(torch.as_tensor(array[None].astype(np.float32)), affine=torch.as_tensor(affine))
        for key, array in arrays.items()
    }
    return made | more


def difference(data: dict[str, Any], plane: int) -> Picture:
    """The last column of a plane's middle slice, without letters."""
    plain = {key: value.as_tensor() for key, value in data.items()}
    shown = ShownSynthesis.of("a", data)
    assert ShownSynthesis.of("a", plain).oriented is False
    bare = ShownSynthesis(**{**vars(shown), "oriented": False})
    return bare.row(plane, bare.mask.shape[(2, 0, 1)[plane]] // 2, 4.0)[-1]


def red(picture: Picture) -> np.ndarray:
    """Rows and columns of what is too bright, from -1 (top, left) to 1 (bottom, right)."""
    found = np.argwhere((picture[..., 0] > 150) & (picture[..., 2] < 90))
    assert len(found)
    return found.mean(axis=0) / (np.array(picture.shape[:2]) - 1) * 2 - 1


@AFFINES
@pytest.mark.parametrize(
    ("bright", "plane", "axis", "side"),
    [
        ((-9, 0, 0), 0, 1, 1),
        ((9, 0, 0), 0, 1, -1),
        ((0, 9, 0), 0, 0, -1),
        ((-9, 0, 0), 1, 1, 1),
        ((9, 0, 0), 1, 1, -1),
        ((0, 0, 9), 1, 0, -1),
        ((0, 9, 0), 2, 1, -1),
        ((0, 0, 9), 2, 0, -1),
    ],
    ids=[
        "axial left",
        "axial right",
        "axial anterior",
        "coronal left",
        "coronal right",
        "coronal superior",
        "sagittal anterior",
        "sagittal superior",
    ],
)
def test_a_place_of_the_head_is_where_it_belongs(
    affine: np.ndarray, bright: tuple[float, float, float], plane: int, axis: int, side: int
) -> None:
    place = red(difference(item(affine, bright), plane))
    assert place[axis] * side > 0.3
    assert abs(place[1 - axis]) < 0.35


def letter(picture: Picture) -> np.ndarray:
    """The bright pixels of a letter on dark ground, without what is dark around it."""
    bright = (picture > 200).all(axis=-1)
    rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
    return bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def letters(plane: int) -> tuple[np.ndarray, np.ndarray]:
    """What stands beside the brain, left and right."""
    shown = ShownSynthesis.of("a", item(shape=(44, 44, 44)))
    picture = shown.row(plane, shown.mask.shape[0] // 2, 4.0)[-1]
    return letter(picture[:, :16]), letter(picture[:, -16:])


@pytest.mark.parametrize("plane", [0, 1], ids=["axial", "coronal"])
def test_an_r_stands_at_the_patients_right_and_an_l_at_the_left(plane: int) -> None:
    right, left = letters(plane)
    # Of an L the upper right is empty, of an R it is not.
    assert right[: len(right) // 3, right.shape[1] // 2 :].any()
    assert not left[: len(left) // 3, left.shape[1] // 2 :].any()


def test_sagittal_planes_have_letters_of_their_own() -> None:
    anterior, posterior = letters(2)
    # Of an A both feet stand on the ground, of a P only the left one.
    assert anterior[-1, -1]
    assert not posterior[-1, posterior.shape[1] // 2 :].any()


@pytest.mark.parametrize("known", [True, False])
def test_only_a_head_of_known_orientation_has_letters(known: bool) -> None:
    data = item(shape=(44, 44, 44))
    if not known:
        data = {key: value.as_tensor() for key, value in data.items()}
    shown = ShownSynthesis.of("a", data)
    beside_the_brain = shown.row(0, shown.mask.shape[2] // 2, 4.0)[-1][:, :16]
    assert (beside_the_brain > 200).any() == known


@pytest.mark.parametrize("plane", range(3), ids=["axial", "coronal", "sagittal"])
def test_thick_voxels_keep_the_patients_proportions(plane: int) -> None:
    affine = np.diag([1.0, 2.0, 4.0, 1.0])
    data = item(affine, shape=(30, 15, 8))
    data["pred"] = data["pred"] + 5
    picture = difference(data, plane)
    height, width = np.ptp(np.argwhere(picture[..., 0] > 150), axis=0)
    assert height == pytest.approx(width, rel=0.2)


def test_differences_run_from_blue_over_white_to_red() -> None:
    colors = to_diverging(np.array([[-9.0, -2.0, 0.0, 1.0, 2.0]]), 2.0)[0]
    low, middle, high = (tuple(color) for color in DIVERGING)
    between = tuple(round((first + second) / 2) for first, second in zip(middle, high, strict=True))
    assert [tuple(map(int, color)) for color in colors] == [low, low, middle, between, high]


def test_the_title_has_the_case_and_the_metrics_own_error() -> None:
    data = item()
    metric = SynthesisQuality()
    metric.update([[data[key]] for key in ("pred", "label", "mask")])
    _, words = draw_synthesis(ShownSynthesis.of("sub-1", data))
    assert words.splitlines()[0] == f"sub-1, MAE {metric.compute():.3f} z units"
    assert "difference from -2 to 2 z units" in words


def test_without_a_real_volume_there_is_no_difference_and_no_error() -> None:
    data = item()
    full, _ = draw_synthesis(ShownSynthesis.of("a", data))
    del data["label"]
    picture, words = draw_synthesis(ShownSynthesis.of("a", data))
    assert picture.shape[1] < full.shape[1]
    assert "MAE" not in words
    assert "difference" not in words


def test_the_channel_that_is_shown_is_named() -> None:
    data = item()
    data["image"] = torch.cat([data["image"], -data["image"]])
    first, _ = draw_synthesis(ShownSynthesis.of("a", data))
    second, words = draw_synthesis(ShownSynthesis.of("a", data, channel=1, channel_name="fa"))
    assert "input: fa" in words
    assert not np.array_equal(first, second)


def test_more_slices_make_more_rows() -> None:
    shown = ShownSynthesis.of("a", item())
    one, three = (draw_synthesis(shown, slices)[0] for slices in (1, 3))
    assert three.shape[0] > 2 * one.shape[0]


@pytest.mark.parametrize(("key", "part"), [("pred", slice(0, 29)), ("mask", slice(0, 0))])
def test_what_is_not_on_one_grid_is_refused(key: str, part: slice) -> None:
    data = item()
    data[key] = data[key][:, part]
    with pytest.raises(ValueError, match="one grid"):
        ShownSynthesis.of("a", data)


def test_an_empty_mask_is_refused() -> None:
    data = item()
    data["mask"] = data["mask"] * 0
    with pytest.raises(ValueError, match="with a mask"):
        ShownSynthesis.of("a", data)


def validate(preview: SynthesisPreview, cases: dict[str, Any], epoch: int = 1, collated: bool = False) -> None:
    def step(engine: Engine, case: str) -> Any:
        # As MONAI leaves it: what the network does not need stays in the batch.
        data = cases[case]
        batch = {"case": case, "mask": data["mask"]}
        output = {key: data[key] for key in ("image", "label", "pred")}
        engine.state.epoch = epoch
        engine.state.batch = [batch] if not collated else {"case": [case], "mask": batch["mask"][None]}
        return [output] if not collated else {key: value[None] for key, value in output.items()}

    engine = Engine(step)
    preview.attach(engine)
    engine.run(list(cases), max_epochs=1)


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "previews").iterdir())


def test_a_training_shows_the_cases_of_its_first_validation_ever_after(tmp_path: Path) -> None:
    preview = SynthesisPreview(tmp_path, cases=2)
    validate(preview, {name: item() for name in "abc"})
    validate(preview, {name: item() for name in "cba"}, epoch=2)
    assert preview.cases == ["a", "b"]
    assert pictures(tmp_path) == ["epoch_0001.png", "epoch_0002.png"]
    words = Image.open(tmp_path / "previews/epoch_0002.png").text["Description"]
    assert [part.split(",")[0] for part in words.split("\n\n")] == ["a", "b"]


def test_an_evaluation_names_its_pictures_after_the_cases(tmp_path: Path) -> None:
    validate(SynthesisPreview(tmp_path, per_case=True), {"a": item(), "sub 2": item()})
    assert pictures(tmp_path) == ["a.png", "sub 2.png"]


def test_named_cases_are_shown_where_they_are(tmp_path: Path) -> None:
    validate(SynthesisPreview(tmp_path, cases=["b", "missing"], per_case=True), {"a": item(), "b": item()})
    assert pictures(tmp_path) == ["b.png"]


def test_no_known_case_writes_nothing(tmp_path: Path) -> None:
    validate(SynthesisPreview(tmp_path, cases=["missing"]), {"a": item()})
    assert not (tmp_path / "previews").exists()


def test_collated_outputs_give_the_same_picture(tmp_path: Path) -> None:
    for name, collated in (("apart", False), ("collated", True)):
        validate(SynthesisPreview(tmp_path / name), {"a": item()}, collated=collated)
    first, second = (
        np.asarray(Image.open(tmp_path / name / "previews/epoch_0001.png")) for name in ("apart", "collated")
    )
    assert np.array_equal(first, second)


def test_only_the_writing_process_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    validate(SynthesisPreview(tmp_path), {"a": item()})
    assert not list(tmp_path.iterdir())


def test_a_preview_without_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="slices must be at least 1"):
        SynthesisPreview(tmp_path, slices=0)
