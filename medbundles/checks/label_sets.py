"""NII010: which numbers a tumor's parts have in a data set. BraTS changed them twice; 3 has meant three things."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from medbundles.errors import ConfigurationError, Finding
from medbundles.io.contrasts import ContrastSource, Layout

# What prepared folders have: the numbers of BraTS 2023.
TUMOR_LABELS = {1: "ncr", 2: "ed", 3: "et"}
# Stored values and ours. Until 2015 non-enhancing tumor had the number 3; it was joined with the necrosis then, and 3
# stayed free until 2023. In 2024 the glioma task gave 4 to the cavity that surgery leaves, which is no tumor.
LABEL_SETS: Mapping[str, Mapping[int, int]] = {
    "2015": {1: 1, 2: 2, 3: 1, 4: 3},
    "2021": {1: 1, 2: 2, 4: 3},
    "2023": {1: 1, 2: 2, 3: 3},
    "2024": {1: 1, 2: 2, 3: 3, 4: 0},
    "decathlon": {1: 2, 2: 1, 3: 3},
}
OWN = "own"
# A label file is stored in 8 bits.
LARGEST_LABEL = 255
NAMED = ", or name them, --labels \"{1: 'lesion'}\""
REMEDY = 'say which, --label_set 2021 or what each value becomes, --label_set "{1: 1, 2: 2, 4: 3}"'


@dataclass(frozen=True)
class LabelSet:
    """What a data set's label values become.

    Attributes:
        name: a key of :data:`LABEL_SETS`, or ``own`` for what a user has said.
        mapping: our value of each stored one but 0.
    """

    name: str
    mapping: Mapping[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Return both as plain data for a record."""
        return {"label_set": self.name, "label_map": {str(key): value for key, value in self.mapping.items()}}


def choose_label_set(choice: Any, labels: Mapping[int, str] | None = None) -> LabelSet | None:
    """Return the label set that a user has chosen; None where it is to be found out.

    Args:
        choice: a key of :data:`LABEL_SETS`, or a mapping of stored values to ours.
        labels: the names of our values, if the user gave any: without a choice, stored values are these.

    Raises:
        ConfigurationError: an unknown name, numbers that no label can have, or values that ``labels`` does not name
            (CFG002).
    """
    if choice is None:
        return LabelSet(OWN, {value: value for value in labels}) if labels else None
    if not isinstance(choice, Mapping):
        if str(choice) in LABEL_SETS:
            return LabelSet(str(choice), LABEL_SETS[str(choice)])
        raise _unusable(choice, f"{', '.join(LABEL_SETS)} or a mapping of stored values to those of the result")
    try:
        mapping = {int(stored): int(ours) for stored, ours in choice.items()}
    except (TypeError, ValueError):
        raise _unusable(choice, "a mapping of whole numbers") from None
    if not mapping or not all(stored >= 1 and 0 <= ours <= LARGEST_LABEL for stored, ours in mapping.items()):
        raise _unusable(choice, f"stored values from 1, each becoming 0 to {LARGEST_LABEL}")
    unnamed = sorted(set(mapping.values()) - {0} - set(labels or mapping.values()))
    if unnamed:
        raise _unusable(choice, f"values that --labels names; it has no {', '.join(map(str, unnamed))}")
    return LabelSet(OWN, mapping)


def detect_label_set(
    values: Mapping[str, Collection[float]], source: ContrastSource
) -> tuple[LabelSet | None, list[Finding]]:
    """Find out which numbers a data set has, from all its labels together.

    A single case cannot tell: one without enhancing tumor has 1 and 2 in every year's numbering.

    Args:
        values: those of each case's label, whole numbers.
        source: where they are from; its names tell the year, or the data set itself what the values mean.

    Returns:
        The label set, None where nobody can know; and NII010: a note on what was found, a warning where it might be
        another, or an error.
    """
    found = {int(value) for case in values.values() for value in case} - {0}
    if source.label_map is not None:
        chosen = LabelSet("decathlon", dict(source.label_map))
        return chosen, [_note(chosen, found)]
    if not found or not found <= {1, 2, 3, 4}:
        return None, []
    name, findings = _name_of(found, values, source.layout)
    if name is None:
        return None, findings
    chosen = LabelSet(name, LABEL_SETS[name])
    return chosen, [*findings, _note(chosen, found)]


def _name_of(
    found: set[int], values: Mapping[str, Collection[float]], layout: Layout
) -> tuple[str | None, list[Finding]]:
    shown = ", ".join(map(str, sorted(found)))
    if found >= {3, 4}:
        if layout == "BraTS 2023":
            message = f"the labels are {shown}: until 2015, 4 was enhancing tumor, in 2024 a resection's cavity"
            return None, [_refusal(message, "say which, --label_set 2015 or --label_set 2024")]
        if not any({3, 4} <= {int(value) for value in case} for case in values.values()):
            first = {number: next(case for case, own in values.items() if number in own) for number in (3, 4)}
            message = f"some labels have a 3 ({first[3]}), others a 4 ({first[4]}), none both: two numberings?"
            return None, [_refusal(message, f"prepare each on its own, or {REMEDY}")]
        return "2015", []
    if 4 in found:
        if layout == "BraTS 2023":
            message = f"the labels are {shown}: until 2021, 4 was enhancing tumor, in 2024 a resection's cavity"
            return None, [_refusal(message, "say which, --label_set 2021 or --label_set 2024")]
        return "2021", []
    if 3 in found:
        doubt = f"the labels are {shown}: 3 is taken for enhancing tumor, as since 2023; until 2015 it was none"
        wrong = Finding("NII010", "warning", doubt, "if they are older, --label_set 2015")
        return "2023", [] if layout == "BraTS 2023" else [wrong]
    if layout == "pattern" or found == {1}:
        return None, [_refusal(f"the labels are {shown} alone: what they mean is not known", REMEDY + NAMED)]
    return ("2023" if layout == "BraTS 2023" else "2021"), []


def _note(chosen: LabelSet, found: set[int]) -> Finding:
    there = ", ".join(
        f"{stored} becomes {chosen.mapping[stored]}" for stored in sorted(found) if stored in chosen.mapping
    )
    return Finding("NII010", "note", f"labels numbered as in {chosen.name}: {there}")


def _refusal(message: str, fix: str) -> Finding:
    return Finding("NII010", "error", message, fix)


def _unusable(choice: Any, expected: str) -> ConfigurationError:
    message = f"label_set is {choice!r}, expected {expected}"
    return ConfigurationError(findings=[Finding("CFG002", "error", message, "correct --label_set")])
