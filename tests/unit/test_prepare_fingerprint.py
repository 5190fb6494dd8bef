from __future__ import annotations

import numpy as np
import pytest

from medbundles.prepare.fingerprint import describe_values, lung_sample, summarize_cases


def case(values, sha):
    return {
        "shape": [4, 4, 4],
        "spacing_mm": [1.0, 1.0, 2.0],
        "image_sha256": sha,
        "label_sha256": sha,
        "diameters_mm": [5.0],
        "intensities": {"nodules": describe_values(values)},
    }


def test_the_lung_sample_leaves_out_what_surrounds_the_body():
    volume = np.full((60, 60, 30), -1000, dtype=np.int16)
    volume[10:50, 10:50] = 40
    volume[20:40, 20:40, 5:25] = -850
    assert set(np.unique(lung_sample(volume, np.eye(4)))) == {-850}


def test_a_scan_cropped_to_the_lungs_still_has_a_lung_sample():
    volume = np.full((40, 40, 20), -850, dtype=np.int16)
    volume[:5] = -1024
    assert set(np.unique(lung_sample(volume, np.eye(4)))) == {-850}


def test_a_scan_without_air_has_no_lung_sample():
    volume = np.full((20, 20, 10), 40, dtype=np.int16)
    assert lung_sample(volume, np.eye(4)).size == 0
    assert describe_values(lung_sample(volume, np.eye(4))) is None


def test_pooled_mean_and_deviation_are_those_of_all_voxels():
    generator = np.random.default_rng(0)
    first, second = generator.normal(0, 10, 500), generator.normal(60, 30, 2000)
    pooled = summarize_cases({"a": case(first, "1"), "b": case(second, "2")})["summary"]["intensities"]["nodules"]
    everything = np.concatenate([first, second])
    assert (pooled["mean"], pooled["std"]) == pytest.approx((everything.mean(), everything.std()), abs=0.02)


def test_the_data_sets_hash_changes_with_a_label():
    first, second = case(np.ones(3), "1"), case(np.ones(3), "1")
    second["label_sha256"] = "2"
    assert summarize_cases({"a": first})["sha256"] != summarize_cases({"a": second})["sha256"]
