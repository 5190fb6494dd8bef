"""LUN012: whether a prepared folder says which nodules are benign and which malignant."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.checks.voxels import VoxelFacts, facts_of_all
from medbundles.errors import Finding
from medbundles.io.datalist import DATALIST_NAME, Record, read_datalist, records
from medbundles.io.headers import Geometry

CODE = "LUN012"
VERDICTS: Mapping[bool | None, str] = {False: "benign", True: "malignant", None: "without a verdict"}
# A label's value for malignant, where classes were drawn by hand.
DRAWN_MALIGNANT = 2


def check_verdicts(
    dataset_dir: str | os.PathLike[str], fold: int = 0, kind: str = "train", geometry: Geometry | None = None
) -> list[Finding]:
    """Check what is said about malignancy, in the records or in the labels (1 benign, 2 malignant).

    Args:
        dataset_dir: a prepared folder.
        fold: the fold that validates.
        kind: ``train`` asks for verdicts to learn from; everything else only for records that can be read.
        geometry: as the labels were checked, so that what was measured is used again.

    Returns:
        Errors for records that cannot be meant, or for a training part without any verdict; a warning where only one
        class has any, or where labels may not mean what they will be taken for; a note with the numbers.
    """
    lists = read_datalist(dataset_dir)
    findings = [finding for part in lists.values() for record in part for finding in _malformed(record)]
    if findings or kind != "train":
        return findings
    training = records(dataset_dir, "training", fold)
    drawn = _drawn(training, geometry)
    counts: Counter[bool | None] = Counter(
        nodule.get("malignant")
        for record, values in zip(training, drawn, strict=True)
        if DRAWN_MALIGNANT not in values
        for nodule in record.get("nodules") or ()
    )
    by_hand = [
        values
        for record, values in zip(training, drawn, strict=True)
        if values and (DRAWN_MALIGNANT in values or record.get("nodules") is None)
    ]
    return _judge(counts, by_hand)


def _judge(counts: Counter[bool | None], by_hand: Sequence[frozenset[float]]) -> list[Finding]:
    malignant = counts[True] + sum(DRAWN_MALIGNANT in values for values in by_hand)
    benign = counts[False] + sum(1 in values for values in by_hand)
    if not malignant and not counts[False]:
        message = f"none of the {counts.total()} nodules of the training part is called benign or malignant"
        message += "" if not by_hand else f", and none of {len(by_hand)} labels without a list of nodules holds a 2"
        fix = 'give its nodules "malignant": true or false, or labels of 1 (benign) and 2 (malignant)'
        return [Finding(CODE, "error", message, fix, file=DATALIST_NAME)]
    findings = []
    if not malignant or not benign:
        there, absent = ("benign", "malignant") if benign else ("malignant", "benign")
        message = f"all verdicts of the training part are {there}: what {absent} means cannot be learned"
        findings.append(Finding(CODE, "warning", message, "add cases, or choose another --fold", file=DATALIST_NAME))
    unsure = sum(DRAWN_MALIGNANT not in values for values in by_hand)
    if unsure and counts.total():
        message = f"{unsure} records have a label of 0 and 1 and no list of nodules: it is taken as drawn benign"
        fix = "list their nodules where that is not meant"
        findings.append(Finding(CODE, "warning", message, fix, file=DATALIST_NAME))
    numbers = ", ".join(f"{counts[verdict]} {name}" for verdict, name in VERDICTS.items())
    drawn = f"; classes drawn by hand in {len(by_hand)} labels" if by_hand else ""
    return [*findings, Finding(CODE, "note", f"nodules of the training part: {numbers}{drawn}")]


def _drawn(cases: Sequence[Record], geometry: Geometry | None) -> list[frozenset[float]]:
    """Return for each record the values above 0 of its label; none where it cannot be read (said elsewhere)."""
    labels = [Path(case["label"]) if isinstance(case.get("label"), str) else None for case in cases]
    facts = facts_of_all((label for label in labels if label is not None and label.is_file()), geometry=geometry)
    measured = [None if label is None else facts.get(label) for label in labels]
    return [
        frozenset(value for value in each.values if value > 0) if isinstance(each, VoxelFacts) else frozenset()
        for each in measured
    ]


def _malformed(record: Record) -> Iterator[Finding]:
    nodules = record.get("nodules")
    case = str(record.get("case", record["image"]))
    if nodules is not None and not isinstance(nodules, list):
        message = f'"nodules" is {nodules!r}, expected a list'
        yield Finding(CODE, "error", message, "correct the record, or leave it out", case=case, file=DATALIST_NAME)
        return
    for number, nodule in enumerate(nodules or (), start=1):
        if wrong := _wrong(nodule):
            message = f"nodule {number}: {wrong}"
            yield Finding(CODE, "error", message, "correct the record", case=case, file=DATALIST_NAME)


def _wrong(nodule: Any) -> str:
    if not isinstance(nodule, Mapping):
        return f"{nodule!r} is no object"
    center = nodule.get("center_lps_mm")
    if not (isinstance(center, list) and len(center) == 3 and all(map(_is_number, center))):
        return f"center_lps_mm is {center!r}, expected three numbers in mm"
    if not (_is_number(nodule.get("diameter_mm")) and nodule["diameter_mm"] > 0):
        return f"diameter_mm is {nodule.get('diameter_mm')!r}, expected a number above 0"
    verdict = nodule.get("malignant")
    known = verdict is None or isinstance(verdict, bool)
    return "" if known else f"malignant is {verdict!r}, expected true, false or null"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
