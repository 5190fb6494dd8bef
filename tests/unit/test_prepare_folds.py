from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbundles.prepare.folds import TEST, check_folds, split_subjects, split_subsets


def strata(count, every=3):
    return {f"case{n:03d}": "without" if n % every == 0 else "with" for n in range(count)}


@given(st.permutations(sorted(strata(20))), st.integers(0, 1000))
def test_the_order_of_files_does_not_matter(order, seed):
    kinds = strata(20)
    assert split_subjects({name: kinds[name] for name in order}, 5, 0.2, seed) == split_subjects(kinds, 5, 0.2, seed)


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (4, 1), (16, 3), (100, 20)])
def test_the_test_part_has_its_share(count, expected):
    assert Counter(split_subjects(strata(count), 5, 0.2, 0).values())[TEST] == expected


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0), (1.0, 12)])
def test_none_or_all_can_be_kept_for_testing(fraction, expected):
    assert Counter(split_subjects(strata(12), 3, fraction, 0).values())[TEST] == expected


def test_folds_differ_by_one_case_at_most():
    sizes = Counter(split_subjects(strata(43), 5, 0.2, 7).values())
    del sizes[TEST]
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_every_part_has_cases_of_every_stratum():
    kinds = strata(60)
    parts = split_subjects(kinds, 4, 0.2, 3)
    assert {(kinds[name], part) for name, part in parts.items()} == {
        (kind, part) for kind in ("with", "without") for part in (TEST, 0, 1, 2, 3)
    }


def test_another_seed_gives_another_split():
    assert split_subjects(strata(30), 5, 0.2, 0) != split_subjects(strata(30), 5, 0.2, 1)


def test_official_subsets_are_folds_and_the_last_ones_the_test_part():
    parts = split_subsets({f"case{n}": n for n in range(10)}, 0.2)
    assert parts == {f"case{n}": n if n < 8 else TEST for n in range(10)}


def test_all_official_subsets_train_when_nothing_is_kept():
    assert TEST not in split_subsets({f"case{n}": n for n in range(10)}, 0.0).values()


def test_an_empty_fold_is_warned_of():
    finding = check_folds({"a": 0, "b": 1, "c": TEST}, 4)[0]
    assert finding.code == "TRN011"
    assert "fold 2, 3 of 4" in finding.message


def test_a_test_part_without_cases_is_warned_of():
    finding = check_folds({"a": 0, "b": 1}, 2, 0.2)[0]
    assert finding.code == "TRN011"
    assert "test part of 0.2 of 2 cases is none" in finding.message


def test_no_test_part_is_no_surprise_where_none_was_asked_for():
    assert check_folds({"a": 0, "b": 1}, 2, 0.0) == []
