"""Synthetic volumes are measured inside the mask, in the real volume's units, as they come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import list_data_collate
from monai.engines.evaluator import SupervisedEvaluator
from scipy import ndimage

from medbundles.components.handlers.curves import panels_of
from medbundles.components.handlers.metric_tables import MetricTables, headlines
from medbundles.components.metrics import SynthesisQuality
from medbundles.components.metrics.bootstrap import resampling_weights
from medbundles.errors import ConfigurationError, DataError, MedbundlesError

SHAPE = (14, 12, 13)


def volumes(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A prediction, a real volume and a mask with a ragged edge."""
    generator = np.random.default_rng(seed)
    real = generator.normal(size=SHAPE)
    places = np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2
    mask = np.linalg.norm(places, axis=-1) + generator.normal(0, 0.5, SHAPE) < 4.5
    return 0.7 * real + generator.normal(0, 0.4, SHAPE), real * mask, mask


def tensors(*arrays: np.ndarray) -> tuple[list[torch.Tensor], ...]:
    return tuple([torch.as_tensor(np.asarray(array, dtype=np.float64))[None]] for array in arrays)


def measured(*arrays: np.ndarray) -> dict[str, Any]:
    metric = SynthesisQuality()
    metric.update(tensors(*arrays))
    return metric.table()[0]


def line(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, 1, 1)


def test_errors_and_psnr_have_their_values() -> None:
    row = measured(line(0.5, 0.5, 3.0, 9.0), line(0.0, 1.0, 3.0, 0.0), line(1, 1, 1, 0))
    assert (row["mask_voxels"], row["data_range"]) == (3, 3.0)
    assert row["mae"] == pytest.approx(1 / 3)
    assert row["mse"] == pytest.approx(1 / 6)
    assert row["psnr"] == pytest.approx(10 * np.log10(9 * 6))


def test_ssim_is_that_of_scikit_image_over_the_masks_voxels() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    prediction, real, mask = volumes()
    _, similarity = metrics.structural_similarity(
        *(np.pad(volume * mask, 6) for volume in (prediction, real)),
        data_range=np.ptp(real[mask]),
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    assert measured(prediction, real, mask)["ssim"] == pytest.approx(similarity[np.pad(mask, 6)].mean(), abs=1e-9)


def test_ssim_is_that_of_monai_where_its_window_fits() -> None:
    from monai.metrics.regression import compute_ssim_and_cs

    prediction, real, _ = volumes()
    mask = np.ones(SHAPE, bool)
    real = np.random.default_rng(1).normal(size=SHAPE)
    padded = [torch.as_tensor(np.pad(volume, 5))[None, None] for volume in (prediction, real)]
    similarity, _ = compute_ssim_and_cs(*padded, 3, (11,) * 3, (1.5,) * 3, float(np.ptp(real)))
    assert measured(prediction, real, mask)["ssim"] == pytest.approx(float(similarity.mean()), abs=1e-4)


def test_correlation_is_pearsons_inside_the_mask() -> None:
    prediction, real, mask = volumes()
    assert measured(prediction, real, mask)["correlation"] == pytest.approx(
        np.corrcoef(prediction[mask], real[mask])[0, 1]
    )


@pytest.mark.parametrize("outside", [1e6, np.nan])
def test_what_lies_outside_of_the_mask_counts_for_nothing(outside: float) -> None:
    prediction, real, mask = volumes()
    assert measured(np.where(mask, prediction, outside), real, mask) == measured(prediction, real, mask)


def test_a_larger_field_of_view_changes_nothing() -> None:
    arrays = volumes()
    assert measured(*(np.pad(array, (3, 9)) for array in arrays)) == pytest.approx(measured(*arrays))


def test_a_wrong_contrast_is_an_error_though_all_else_is_right() -> None:
    _, real, mask = volumes()
    row = measured(2 * real, real, mask)
    assert row["mae"] == pytest.approx(np.abs(real[mask]).mean())
    assert row["correlation"] == pytest.approx(1.0)


def test_sharpness_is_how_steep_the_prediction_is_beside_the_real_volume() -> None:
    _, real, mask = volumes()
    assert measured(0.4 * real + 3.0, real, mask)["sharpness"] == pytest.approx(0.4)
    blurred = ndimage.gaussian_filter(real, 1.0)
    assert measured(blurred, real, mask)["sharpness"] < 0.5


def test_sharpness_does_not_see_the_edge_of_the_mask() -> None:
    _, _, mask = volumes()
    ramp = np.arange(SHAPE[0], dtype=float)[:, None, None] * np.ones(SHAPE)
    assert measured(2 * ramp + 100, ramp, mask)["sharpness"] == pytest.approx(2.0)


def test_a_mask_without_an_inside_has_no_sharpness() -> None:
    flat = np.random.default_rng(0).normal(size=(9, 9, 1))
    assert measured(2 * flat, flat, np.ones_like(flat))["sharpness"] is None


def test_a_perfect_prediction_has_no_error_and_no_psnr() -> None:
    _, real, mask = volumes()
    row = measured(real, real, mask)
    assert (row["mae"], row["psnr"], row["ssim"]) == (0.0, None, pytest.approx(1.0))


def test_a_constant_real_volume_has_errors_only() -> None:
    prediction, _, mask = volumes()
    row = measured(prediction, 0.5 * mask, mask)
    assert [key for key, value in row.items() if value is None] == ["psnr", "ssim", "correlation", "sharpness"]


def test_the_summary_leaves_out_and_counts_what_is_undefined() -> None:
    metric = SynthesisQuality()
    prediction, real, mask = volumes()
    metric.update(tensors(prediction, real, mask))
    metric.update(tensors(np.ones(SHAPE), real, mask))
    summary = metric.summary()
    assert summary["undefined"] == {"mae": 0, "mse": 0, "psnr": 0, "ssim": 0, "correlation": 1, "sharpness": 0}
    assert summary["correlation"] == metric.table()[0]["correlation"]


def test_the_score_is_the_mean_error_with_its_bootstrap_interval() -> None:
    metric = SynthesisQuality()
    for seed in range(5):
        metric.update(tensors(*volumes(seed)))
    errors = np.array([row["mae"] for row in metric.table()])
    drawn = resampling_weights(5) @ errors / 5
    summary = metric.summary()
    assert metric.compute() == summary["mae"] == pytest.approx(errors.mean())
    assert summary["intervals"]["mae"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert summary["n"] == 5


def batches(count: int = 3) -> list[dict[str, Any]]:
    made = []
    for number in range(count):
        prediction, real, mask = volumes(number)
        meta = {"filename_or_obj": f"labels/case_{number}.nii.gz"}
        each = {"image": prediction, "label": real, "mask": mask}
        item = {key: MetaTensor(torch.as_tensor(value)[None].float(), meta=dict(meta)) for key, value in each.items()}
        made.append(list_data_collate([item | {"case": f"case_{number}"}]))
    return made


def evaluator(
    metric: SynthesisQuality,
    decollate: bool = True,
    handlers: list[Any] | None = None,
    cases: tuple[int, ...] = (0, 1, 2),
) -> Any:
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[batches()[case] for case in cases],
        network=torch.nn.Identity(),
        key_val_metric={"quality": metric},
        val_handlers=handlers,
        decollate=decollate,
    )


@pytest.mark.parametrize("decollate", [True, False])
def test_an_evaluator_finds_the_mask_in_its_batch(decollate: bool) -> None:
    metric = SynthesisQuality()
    engine = evaluator(metric, decollate)
    engine.run()
    expected = [measured(*volumes(number))["mae"] for number in range(3)]
    assert [row["case"] for row in metric.table()] == ["case_0", "case_1", "case_2"]
    assert [row["mae"] for row in metric.table()] == pytest.approx(expected, abs=1e-6)
    assert engine.state.metrics["quality"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert "mask" not in (engine.state.output[0] if decollate else engine.state.output)


def _evaluate_in_group(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    metric = SynthesisQuality()
    # Three cases on two processes: a distributed sampler hands out the first one twice.
    cases = ((0, 2), (1, 0))[rank]
    engine = evaluator(metric, handlers=[MetricTables(folder, {"quality": metric})], cases=cases)
    engine.run()
    expected = [measured(*volumes(number))["mae"] for number in range(3)]
    assert engine.state.metrics["quality"] == pytest.approx(np.mean(expected), abs=1e-6)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_count_each_case_once(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_evaluate_in_group, args=(str(tmp_path),), nprocs=2)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["case", "case_0", "case_1", "case_2"]


def test_the_headline_has_error_and_ssim() -> None:
    metric = SynthesisQuality()
    metric.update(tensors(line(0.5, 0.5), line(0.0, 1.0), line(1, 1)))
    said = list(headlines({"quality": metric.summary()}))
    assert said[0] == "mae 0.50"
    assert said[1].startswith("ssim 0.")


def test_the_curve_of_the_error_has_its_unit_and_begins_at_zero() -> None:
    rows = [{"epoch": 1, "metrics": {"quality": 0.4, "quality_ssim": 0.7}}]
    error, similarity = panels_of(rows, {"quality": SynthesisQuality.score_name})
    assert (error.title, error.unit, error.from_zero) == ("mean absolute error (quality)", "z units", True)
    assert (similarity.title, similarity.unit) == ("SSIM (quality)", "SSIM, 0 to 1")


def test_an_empty_mask_is_refused_with_its_case() -> None:
    prediction, real, mask = volumes()
    with pytest.raises(DataError, match=r"DWI012.*case_0000.*empty"):
        measured(prediction, real, 0 * mask)


@pytest.mark.parametrize(("number", "code"), [(0, "TRN003"), (1, "NII002")], ids=["prediction", "real"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_inside_the_mask_is_refused(number: int, code: str, value: float) -> None:
    arrays = volumes()
    arrays[number][7, 6, 6] = value
    with pytest.raises(DataError, match=code):
        measured(*arrays)


@pytest.mark.parametrize("number", range(3), ids=["prediction", "real", "mask"])
def test_volumes_on_different_grids_are_refused(number: int) -> None:
    arrays = list(volumes())
    arrays[number] = arrays[number][:-1]
    with pytest.raises(ConfigurationError, match="one grid"):
        measured(*arrays)


def test_several_channels_are_refused() -> None:
    parts = [torch.zeros(2, 4, 4, 4)]
    with pytest.raises(ConfigurationError, match="one channel"):
        SynthesisQuality().update((parts, parts, parts))


def test_an_output_without_a_mask_is_refused() -> None:
    with pytest.raises(MedbundlesError, match="pred, label and mask, found 2"):
        SynthesisQuality().update(tensors(*volumes()[:2]))
