"""The weighting of a diffusion MRI: how it is read, what is repaired, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbundles.checks.gradients import Weighting, check_gradients, condition_number
from medbundles.errors import DataError, Finding
from medbundles.io.gradients import Floats, GradientTable, gradient_files, read_gradients

SIX = np.array(
    [(0.91, 0.416, 0), (0, 0.91, 0.416), (0.416, 0, 0.91), (0.91, -0.416, 0), (0, 0.91, -0.416), (-0.416, 0, 0.91)]
)
SIX = SIX / np.linalg.norm(SIX, axis=1, keepdims=True)


def table(b: float = 1000.0, b0: float = 0.0, directions: Floats = SIX) -> GradientTable:
    """One b0 and one shell."""
    return GradientTable(np.array([b0, *[b] * len(directions)]), np.vstack([np.zeros(3), directions]))


def check(gradients: GradientTable, **options: float) -> tuple[Weighting | None, list[Finding]]:
    return check_gradients(gradients, len(gradients), **options)


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.level) for finding in findings]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    values, vectors = gradient_files(tmp_path / "dwi.nii.gz")
    values.write_text("0 1000 1000 1000\n")
    vectors.write_text("0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    return values, vectors


def test_files_are_named_like_the_image(tmp_path: Path) -> None:
    names = [path.name for path in gradient_files(tmp_path / "sub-1_dwi.nii.gz")]
    assert names == ["sub-1_dwi.bval", "sub-1_dwi.bvec"]


def test_three_rows_and_three_columns_are_the_same_directions(files: tuple[Path, Path]) -> None:
    rows = read_gradients(*files)
    files[1].write_text("0 0 0\n1 0 0\n0 1 0\n0 0 1\n")
    columns = read_gradients(*files)
    assert np.array_equal(rows.directions, columns.directions)
    assert rows.directions[1].tolist() == [1, 0, 0]


def test_b_values_may_stand_in_a_column_or_with_commas(files: tuple[Path, Path]) -> None:
    files[0].write_text("0\n1000\n1000\n1000\n")
    assert read_gradients(*files).b_values.tolist() == [0, 1000, 1000, 1000]
    files[0].write_text("0, 1000, 1000, 1000")
    assert read_gradients(*files).b_values.tolist() == [0, 1000, 1000, 1000]


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_file_is_named_with_both_that_are_expected(files: tuple[Path, Path], number: int) -> None:
    files[number].unlink()
    with pytest.raises(DataError, match=r"DWI001.*expected dwi\.bval and dwi\.bvec"):
        read_gradients(*files)


@pytest.mark.parametrize(
    ("number", "text", "said"),
    [
        (0, "0 1000 high 1000", "could not convert"),
        (0, "", "rows of no numbers"),
        (1, "0 1 0 0\n0 0 1\n0 0 0 1", "rows of 4, 3, 4 numbers"),
        (1, "0 1 0 0\n0 0 1 0", "2 rows of 4 numbers, expected three of either"),
        (1, "0 1 0\n0 0 1\n0 0 0", "4 b-values and 3 directions"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    files: tuple[Path, Path], number: int, text: str, said: str
) -> None:
    files[number].write_text(text)
    with pytest.raises(DataError, match=f"DWI002.*{said}"):
        read_gradients(*files)


def test_a_plain_scan_has_nothing_to_say() -> None:
    weighting, findings = check(table())
    assert findings == []
    assert weighting is not None
    assert (weighting.unweighted.sum(), weighting.weighted.sum(), weighting.shell) == (1, 6, 1000)


def test_volumes_that_do_not_match_are_counted_all_three() -> None:
    weighting, (finding,) = check_gradients(table(), 9)
    assert weighting is None
    assert (finding.code, finding.message) == ("DWI002", "7 b-values, 7 directions and 9 volumes")


def test_directions_a_little_off_length_one_are_scaled_with_a_note() -> None:
    weighting, findings = check(table(directions=SIX * 1.03))
    assert codes(findings) == [("DWI003", "note")]
    assert weighting is not None
    assert np.allclose(np.linalg.norm(weighting.table.directions[1:], axis=1), 1)


@pytest.mark.parametrize("factor", [0.9, 1.2, 0.0])
def test_directions_far_off_length_one_are_refused(factor: float) -> None:
    directions = SIX.copy()
    directions[2] *= factor
    weighting, (finding,) = check(table(directions=directions))
    assert (weighting, finding.code, finding.level) == (None, "DWI003", "error")
    assert "volume 3" in finding.message


def test_no_unweighted_volume_is_refused() -> None:
    weighting, findings = check(GradientTable(np.full(6, 1000.0), SIX))
    assert (weighting, codes(findings)) == (None, [("DWI004", "error")])


@pytest.mark.parametrize("b0", [60.0, 149.0])
def test_b0_stored_with_a_small_weighting_names_the_key(b0: float) -> None:
    weighting, (finding,) = check(table(b0=b0))
    assert (weighting, finding.code) == (None, "DWI007")
    assert f"--b0_threshold {b0:g}" in finding.fix
    assert check(table(b0=b0), b0_threshold=b0)[0] is not None


def test_b0_of_5_counts_as_unweighted() -> None:
    weighting, findings = check(table(b0=5.0))
    assert weighting is not None
    assert findings == []


def test_a_weighted_volume_without_direction_is_refused() -> None:
    directions = SIX.copy()
    directions[4] = np.nan
    weighting, (finding,) = check(table(directions=directions))
    assert (weighting, finding.code) == (None, "DWI005")
    assert "volumes 5 have no direction" in finding.message


def test_an_unweighted_volume_needs_no_direction() -> None:
    gradients = table()
    gradients.directions[0] = np.nan
    weighting, findings = check(gradients)
    assert weighting is not None
    assert (findings, weighting.table.directions[0].tolist()) == ([], [0, 0, 0])


def _in_a_plane() -> Floats:
    angle = np.arange(12) * np.pi / 12
    return np.stack([np.cos(angle), np.sin(angle), np.zeros(12)], axis=1)


@pytest.mark.parametrize("directions", [SIX[:5], _in_a_plane(), np.vstack([SIX[:5], -SIX[:5]])])
def test_directions_that_determine_no_tensor_are_refused(directions: Floats) -> None:
    weighting, findings = check(table(directions=directions))
    assert (weighting, codes(findings)) == (None, [("DWI006", "error")])


def test_only_unweighted_volumes_are_refused() -> None:
    weighting, findings = check(GradientTable(np.zeros(4), np.zeros((4, 3))))
    assert (weighting, codes(findings)) == (None, [("DWI006", "error")])


def test_the_condition_number_is_that_of_the_scheme_it_is_named_for() -> None:
    assert condition_number(SIX) == pytest.approx(1.3228, abs=1e-3)  # Skare et al., 2000: the lowest of six directions


def test_of_several_shells_the_usual_one_is_taken_with_a_warning() -> None:
    gradients = GradientTable(
        np.array([0.0, *[995.0, 1005] * 3, *[2000.0] * 6, *[3000.0] * 6]), np.vstack([np.zeros(3), SIX, SIX, SIX])
    )
    weighting, findings = check(gradients)
    assert codes(findings) == [("DWI011", "warning")]
    assert weighting is not None
    assert (weighting.shell, weighting.weighted.sum()) == (1000, 6)
    chosen, said = check(gradients, shell=2000)
    assert (chosen is not None and chosen.shell, said) == (2000, [])


def test_a_shell_that_is_not_there_is_refused_with_those_that_are() -> None:
    weighting, (finding,) = check(table(), shell=3000)
    assert (weighting, finding.code) == (None, "DWI011")
    assert "there are 1000" in finding.message


@pytest.mark.parametrize(
    ("b_values", "said"), [([5.0], "the only volume"), ([0.0, 5.0, 5.0], "every one of 3 volumes")]
)
def test_unweighted_volumes_stored_as_5_are_no_other_unit(b_values: list[float], said: str) -> None:
    weighting, (finding,) = check(GradientTable(np.array(b_values), np.zeros((len(b_values), 3))))
    assert (weighting, finding.code) == (None, "DWI006")
    assert said in finding.message
    assert "5 s/mm2" in finding.message


def test_b_values_in_another_unit_are_refused() -> None:
    weighting, (finding,) = check(table(b=1.0))
    assert (weighting, finding.code) == (None, "DWI011")
    assert "multiply" in finding.fix


@pytest.mark.parametrize("wrong", [-1000.0, np.nan, np.inf])
def test_b_values_that_are_none_are_refused(wrong: float) -> None:
    weighting, findings = check(table(b=wrong))
    assert (weighting, codes(findings)) == (None, [("DWI011", "error")])
