"""Whether a diffusion MRI's weighting can give a tensor (DWI002 to DWI007, DWI011)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbundles.errors import Finding
from medbundles.io.gradients import Floats, GradientTable

B0_THRESHOLD = 50.0
# b-values nearer to each other than this belong to one shell: scanners report a shell's values a few percent apart.
SHELL_WIDTH = 150.0
# Where the signal's decay is still that of a tensor; the shell nearest to it is taken where there are several.
USUAL_SHELL = 1000.0
NORM_TOLERANCE = 0.05
# The design matrix of six well placed directions has a condition number below 2, that of coplanar ones none.
WORST_CONDITION = 50.0
# Below this a largest b-value cannot be in s/mm2.
LARGEST_MS = 20.0
# Volumes weighted less than this are what scanners store for unweighted ones.
LARGEST_B0 = 150.0


@dataclass(frozen=True)
class Weighting:
    """Which volumes of a scan a tensor is fitted to.

    Attributes:
        table: b-values and directions of all volumes; directions of weighted ones have length 1, others are 0.
        unweighted: ``(volumes,)`` the b0 volumes.
        weighted: ``(volumes,)`` the volumes of the chosen shell.
        shell: its mean b-value in s/mm2.
    """

    table: GradientTable
    unweighted: npt.NDArray[np.bool_]
    weighted: npt.NDArray[np.bool_]
    shell: float


def check_gradients(
    table: GradientTable, volumes: int, b0_threshold: float = B0_THRESHOLD, shell: float | None = None
) -> tuple[Weighting | None, list[Finding]]:
    """Judge a scan's weighting.

    Args:
        table: as read.
        volumes: volumes of the image.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take; None takes the one nearest to 1000 s/mm2.

    Returns:
        what can be used (None where an error is found), and the findings.
    """
    counts = len(table.b_values), len(table.directions), volumes
    if len(set(counts)) > 1:
        message = "{} b-values, {} directions and {} volume{}".format(*counts, "" if volumes == 1 else "s")
        return None, [Finding("DWI002", "error", message, "take all three from one scan")]
    wrong = _check_scale(table.b_values) or _check_unweighted(table.b_values, b0_threshold)
    if wrong:
        return None, wrong
    unweighted = table.b_values <= b0_threshold
    directions, findings = _check_directions(table, unweighted)
    if any(finding.level == "error" for finding in findings):
        return None, findings
    weighted, mean, said = _choose_shell(table.b_values, unweighted, shell)
    findings += said
    if weighted is not None:
        findings += _check_condition(directions[weighted])
    if weighted is None or any(finding.level == "error" for finding in findings):
        return None, findings
    return Weighting(GradientTable(table.b_values, directions), unweighted, weighted, mean), findings


def condition_number(directions: Floats) -> float:
    """Return how badly directions ``(n, 3)`` determine a tensor; infinite where they do not.

    The condition number of the matrix whose rows are ``x^2, y^2, z^2, 2xy, 2xz, 2yz`` (Skare et al., J Magn Reson 147,
    2000).
    """
    x, y, z = np.asarray(directions, dtype=np.float64).T
    design = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    values = np.linalg.svd(design, compute_uv=False)
    return float(values[0] / values[-1]) if len(values) == 6 and values[-1] > 1e-9 * values[0] else float("inf")


def _check_scale(b_values: Floats) -> list[Finding]:
    if not np.isfinite(b_values).all() or (b_values < 0).any():
        wrong = next(value for value in b_values if not np.isfinite(value) or value < 0)
        return [Finding("DWI011", "error", f"a b-value of {wrong:g}", "take the .bval file of the conversion")]
    largest = float(b_values.max(initial=0.0))
    # A tensor needs six weighted volumes: fewer are those that scanners store as b = 5 for unweighted ones.
    if 0 < largest < LARGEST_MS and np.count_nonzero(b_values) >= 6:
        message = f"the largest b-value is {largest:g}: that is ms/um2 or another unit, expected s/mm2"
        return [Finding("DWI011", "error", message, "multiply the .bval file by 1000")]
    return []


def _check_directions(table: GradientTable, unweighted: npt.NDArray[np.bool_]) -> tuple[Floats, list[Finding]]:
    """Return directions of length 1 (0 for unweighted volumes), and what is wrong with them."""
    directions = np.where(unweighted[:, None], 0.0, table.directions)
    absent = np.flatnonzero(~np.isfinite(directions).all(axis=1))
    if len(absent):
        message = f"weighted volumes {listed(absent)} have no direction (NaN)"
        return directions, [Finding("DWI005", "error", message, "convert the scan again, or remove these volumes")]
    lengths = np.linalg.norm(directions, axis=1)
    off = np.abs(lengths - 1.0) * ~unweighted
    wrong = np.flatnonzero(off > NORM_TOLERANCE)
    if len(wrong):
        worst = int(wrong[np.argmax(off[wrong])])
        message = (
            f"directions of volumes {listed(wrong)} are no unit vectors: length {lengths[worst]:.3g} in volume {worst}"
        )
        return directions, [Finding("DWI003", "error", message, "take the .bvec file of the conversion")]
    directions = np.divide(directions, lengths[:, None], out=np.zeros_like(directions), where=lengths[:, None] > 0)
    rounded = int((off > 0.01).sum())
    message = f"{rounded} directions are up to {100 * off.max(initial=0.0):.1f} % off length 1; they were scaled"
    return directions, [Finding("DWI003", "note", message)] if rounded else []


def _check_unweighted(b_values: Floats, b0_threshold: float) -> list[Finding]:
    lowest = float(b_values.min(initial=np.inf))
    if lowest <= b0_threshold:
        return []
    message = f"no b0 volume: the lowest b-value is {lowest:g} s/mm2, b0_threshold is {b0_threshold:g}"
    if lowest <= LARGEST_B0:
        return [Finding("DWI007", "error", message, f"if these are the b0 volumes: --b0_threshold {np.ceil(lowest):g}")]
    return [Finding("DWI004", "error", message, "add the unweighted volumes of the scan")]


def _choose_shell(
    b_values: Floats, unweighted: npt.NDArray[np.bool_], wanted: float | None
) -> tuple[npt.NDArray[np.bool_] | None, float, list[Finding]]:
    """Return the volumes of the shell to take and its b-value."""
    shells = _shells(b_values[~unweighted])
    if not shells:
        volumes = "the only volume" if len(b_values) == 1 else f"every one of {len(b_values)} volumes"
        largest = f"the largest b-value is {b_values.max(initial=0.0):g} s/mm2"
        message = f"no weighted volume: {volumes} counts as b0, {largest}"
        return None, 0.0, [Finding("DWI006", "error", message, "lower --b0_threshold, or take another scan")]
    nearest = min(shells, key=lambda shell: abs(shell - (USUAL_SHELL if wanted is None else wanted)))
    names = ", ".join(f"{shell:.0f}" for shell in shells)
    if wanted is not None and abs(nearest - wanted) > SHELL_WIDTH:
        message = f"no shell at b = {wanted:g} s/mm2; there are {names}"
        return None, 0.0, [Finding("DWI011", "error", message, "choose one of them with --shell")]
    members = ~unweighted & (np.abs(b_values - nearest) <= SHELL_WIDTH)
    if len(shells) == 1 or wanted is not None:
        return members, nearest, []
    message = f"several shells, b = {names} s/mm2; the tensor is fitted to b = {nearest:.0f}"
    return members, nearest, [Finding("DWI011", "warning", message, "choose another one with --shell")]


def _shells(b_values: Floats) -> list[float]:
    """Return the mean b-value of each group of b-values, ascending."""
    ordered = np.sort(b_values)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > SHELL_WIDTH) + 1) if len(ordered) else []
    return [float(group.mean()) for group in groups]


def _check_condition(directions: Floats) -> list[Finding]:
    if len(directions) < 6:
        message = f"{len(directions)} weighted volumes, a tensor needs six"
        return [Finding("DWI006", "error", message, "take a scan with more directions")]
    number = condition_number(directions)
    if number <= WORST_CONDITION:
        return []
    message = f"the {len(directions)} directions do not determine a tensor: condition number {number:.3g}, limit "
    fix = "they are few, equal or lie in a plane; take a scan with directions all around"
    return [Finding("DWI006", "error", f"{message}{WORST_CONDITION:g}", fix)]


def listed(numbers: Sequence[int] | npt.NDArray[np.int64], most: int = 6) -> str:
    """Return the first of some volumes' numbers, and how many more there are."""
    shown = ", ".join(str(number) for number in numbers[:most])
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown
