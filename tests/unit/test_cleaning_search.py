"""The cleaning of regions is chosen on validation cases, as mild as it can be."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.metrics import CleaningSearch, LesionWise, RegionQuality, choose_cleaning
from medbundles.components.transforms import CleanRegionsd
from medbundles.errors import ConfigurationError

NESTED = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
SHAPE = (30, 20, 16)
# Voxels of 0.01 ml.
AFFINE = torch.diag(torch.tensor([2.0, 2.0, 2.5, 1.0]))
Cases = list[tuple[np.ndarray, np.ndarray]]


def case(*, enhancing: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right above one half, and the truth of three nested cubes."""
    truth = np.zeros((3, *SHAPE), np.float32)
    truth[0, 2:10, 2:10, 2:10] = truth[1, 3:9, 3:9, 3:9] = 1.0
    truth[2, 4:8, 4:8, 4:8] = enhancing
    return 0.1 + 0.8 * truth, truth


def image(array: np.ndarray, name: str = "") -> MetaTensor:
    return MetaTensor(torch.as_tensor(array), affine=AFFINE, meta={"case": name})


def searched(cases: Cases, **options: Any) -> CleaningSearch:
    search = CleaningSearch(NESTED, **options)
    for number, (values, truth) in enumerate(cases):
        search.update(([image(values)], [image(truth, f"case_{number}")]))
    return search


def test_what_needs_no_cleaning_is_not_cleaned() -> None:
    chosen = choose_cleaning(searched([case(), case()]))
    assert chosen["thresholds"] == {"WT": 0.5, "TC": 0.5, "ET": 0.5}
    assert chosen["smallest_ml"] == {"WT": 0.0, "TC": 0.0, "ET": 0.0}
    assert chosen["replace_below_ml"] == {"ET": 0.0}
    assert chosen["fill_holes"] is False
    assert chosen["chosen_by"] == {"criterion": "both", "score": 1.0, "cases": 2}


def test_a_faint_region_gets_a_lower_threshold() -> None:
    values, truth = case()
    values[2] = 0.1 + 0.35 * truth[2]
    assert choose_cleaning(searched([(values, truth)]))["thresholds"] == {"WT": 0.5, "TC": 0.5, "ET": 0.4}


@pytest.mark.parametrize("criterion", ["both", "dice", "lesion_dice"])
def test_specks_are_removed_by_the_smallest_volume_that_suffices(criterion: str) -> None:
    values, truth = case()
    values[0, 20:22, 2:4, 2:4] = 0.9
    chosen = choose_cleaning(searched([(values, truth)], criterion=criterion))
    assert chosen["smallest_ml"] == {"WT": 0.1, "TC": 0.0, "ET": 0.0}


def test_false_enhancing_tumor_is_given_up() -> None:
    false, truth = case(enhancing=False)
    false[2, 4, 4:7, 4:7] = 0.9
    chosen = choose_cleaning(searched([(false, truth), case()], smallest_ml=[0.0]))
    assert chosen["replace_below_ml"] == {"ET": 0.1}


def test_holes_are_filled_where_that_gains() -> None:
    values, truth = case()
    values[0, 4:8, 4:8, 4:8] = 0.1
    assert choose_cleaning(searched([(values, truth)]))["fill_holes"] is True


def test_what_is_chosen_scores_as_the_metrics_say_once_it_is_applied() -> None:
    values, truth = case()
    values[:, 20:22, 2:4, 2:4] = 0.9
    values[2] = 0.8 * values[2]
    for criterion, metric in (("dice", RegionQuality(NESTED)), ("lesion_dice", LesionWise(NESTED))):
        chosen = choose_cleaning(searched([(values, truth)], criterion=criterion))
        score = chosen.pop("chosen_by")["score"]
        cleaned = CleanRegionsd("pred", NESTED, **chosen)({"pred": image(values)})["pred"]
        metric.update(([cleaned], [image(truth)]))
        assert metric.compute() == pytest.approx(score)


def test_both_is_the_mean_of_overlap_and_lesion_wise_overlap() -> None:
    values, truth = case()
    values[:, 20:22, 2:4, 2:4] = 0.9
    overlap, by_lesion, both = (
        searched([(values, truth)], criterion=criterion, smallest_ml=[0.0], replace_below_ml=[0.0]).compute()
        for criterion in ("dice", "lesion_dice", "both")
    )
    assert overlap > by_lesion
    assert both == pytest.approx((overlap + by_lesion) / 2)


def test_the_choice_is_plain_data() -> None:
    search = searched([case()])
    assert json.loads(json.dumps(choose_cleaning(search))) == search.summary()
    assert search.compute() == 1.0


def test_nothing_can_be_chosen_without_cases() -> None:
    with pytest.raises(ConfigurationError, match="none was seen"):
        choose_cleaning(CleaningSearch(NESTED))


def test_volumes_need_voxels_of_known_size() -> None:
    values, truth = case()
    with pytest.raises(ConfigurationError, match="size of their voxels"):
        CleaningSearch(NESTED).update(([torch.as_tensor(values)], [torch.as_tensor(truth)]))


@pytest.mark.parametrize("options", [{"criterion": "hd95"}, {"thresholds": []}])
def test_a_search_without_meaning_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="criterion"):
        CleaningSearch(NESTED, **options)
