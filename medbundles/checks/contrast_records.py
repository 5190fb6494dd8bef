"""The checks of cases with several contrasts before they are prepared: headers of all files, values of the labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from medbundles.checks import nifti
from medbundles.checks.cases import examine
from medbundles.checks.label_sets import LARGEST_LABEL, LabelSet, detect_label_set
from medbundles.checks.voxels import VoxelFacts, facts_of_all
from medbundles.errors import Finding, MedbundlesError
from medbundles.io.brats import find_contrasts
from medbundles.io.cases import check_names
from medbundles.io.contrasts import ContrastCase, ContrastSource
from medbundles.io.headers import Geometry, ImageHeader


def inspect_contrasts(
    source: ContrastSource, geometry: Geometry | None = None, reference: str | None = None
) -> list[Finding]:
    """Check the headers of all cases.

    Args:
        source: the cases.
        geometry: which NIfTI form counts where sform and qform disagree.
        reference: the contrast to which all others will be registered; None: they must lie on each other already.

    Returns:
        NII001, NII003 to NII007, NII009 (a label stored with a scale), NII015 to NII017, and NII008 where a case lacks
        the reference.
    """
    findings = check_names(
        {"case": case.name, "image": [str(path) for path in case.present]} for case in source.cases if case.present
    )
    for case in source.cases:
        wrong = _inspect_case(case, source, geometry, reference)
        findings += [replace(finding, case=finding.case or case.name) for finding in wrong]
    return findings


def find_label_set(
    source: ContrastSource, chosen: LabelSet | None, bad: Collection[str] = (), geometry: Geometry | None = None
) -> tuple[LabelSet | None, list[Finding]]:
    """Check the values of all labels, and find out what they mean where that was not said.

    Args:
        source: the cases.
        chosen: what the user says they mean.
        bad: cases that are left out already.
        geometry: which NIfTI form counts where sform and qform disagree.

    Returns:
        The label set, None where it is not known (NII010 or NII009 among the findings say why); and NII009 for values
        that have no place in it, NII011 for empty labels.
    """
    labels = {case.name: case.label for case in source.cases if case.label is not None and case.name not in bad}
    measured = facts_of_all(labels.values(), geometry=geometry)
    facts: dict[str, VoxelFacts] = {}
    findings: list[Finding] = []
    for name, path in labels.items():
        found = measured[path]
        if isinstance(found, MedbundlesError):
            findings += [replace(finding, case=name) for finding in found.findings]
        else:
            facts[name] = found
    allowed = {0, *(chosen.mapping if chosen else source.label_map or (1, 2, 3, 4))}
    for name, found in facts.items():
        wrong = nifti.check_label_values(found, allowed, labels[name].name)
        fix = f'map them, --label_set "{{{found.values[-1]:g}: 1}}" for instance' if _mappable(found) else "mend it"
        findings += [replace(finding, case=name, fix=fix) for finding in wrong]
    unusable = {finding.case for finding in findings}
    sound = {name: found for name, found in facts.items() if name not in unusable}
    findings += _check_empty({name: found.nonzero == 0 for name, found in sound.items()})
    if chosen is None and sound and not all(found.nonzero == 0 for found in sound.values()):
        chosen, news = detect_label_set({name: found.values for name, found in sound.items()}, source)
        findings += news
    return chosen, findings


def check_tumor_source(source: Path, geometry: Geometry | None = None) -> tuple[str, list[Finding]]:
    """Return what a raw source of brain tumors holds, in words, and what is to say about it.

    Raises:
        DataError: no case that can be told (TRN011, NII010, NII016).
    """
    found, findings = find_contrasts(source)
    findings += inspect_contrasts(found, geometry)
    bad = {finding.case for finding in findings if finding.level == "error" and finding.case}
    return f"raw source in {found.layout}'s layout, {len(found.cases)} cases to prepare", [
        *findings,
        *find_label_set(found, None, bad, geometry)[1],
    ]


def _inspect_case(
    case: ContrastCase, source: ContrastSource, geometry: Geometry | None, reference: str | None
) -> list[Finding]:
    findings: list[Finding] = []
    headers: dict[Path, ImageHeader] = {}
    for path in case.present:
        header, wrong = examine(path, geometry)
        findings += wrong
        if header is not None:
            headers[path] = header
            findings += _check_volumes(header, source) + nifti.check_spacing(header) + nifti.check_memory(header)
            findings += nifti.check_world(header, aligned=True)
    first = case.images[source.contrasts.index(reference)] if reference else next(iter(case.present), None)
    if reference and first is None:
        message = f"no file for {reference}, to which the others shall be registered"
        findings.append(Finding("NII008", "error", message, "choose another --reference"))
    base = headers.get(first) if first else None
    if base is None:
        return findings
    if reference is None:
        others = [header for path, header in headers.items() if path != first]
        fix = "pass --register true"
        findings += [_advised(finding, fix) for other in others for finding in nifti.check_same_grid(base, other)]
    for drawn in (case.label, case.mask):
        if drawn is not None:
            findings += _check_drawn(drawn, base, geometry, is_label=drawn == case.label)
    return findings


def _check_volumes(header: ImageHeader, source: ContrastSource) -> list[Finding]:
    """NII007: one volume, or 4D with all that are wanted."""
    wanted = max(source.volumes, default=0) + 1
    found = header.grid_shape[3] if len(header.grid_shape) == 4 else 1
    if not source.volumes or found < wanted:
        return nifti.check_axes(header, wanted)
    return nifti.check_numbers(header)


def _check_drawn(path: Path, base: ImageHeader, geometry: Geometry | None, is_label: bool) -> list[Finding]:
    """Check a label, or a mask of the brain, against the image it was drawn on."""
    header, findings = examine(path, geometry)
    if header is None:
        return findings
    findings = [*findings, *nifti.check_axes(header), *nifti.check_world(header, aligned=True)]
    findings += nifti.check_label_storage(header) if is_label else []
    return findings + nifti.check_same_grid(base, header)


def _advised(finding: Finding, fix: str) -> Finding:
    return replace(finding, fix=f"{fix}, or {finding.fix}")


def _mappable(facts: VoxelFacts) -> bool:
    return facts.whole and not facts.many_values and facts.minimum >= 0 and facts.maximum <= LARGEST_LABEL


def _check_empty(empty: Mapping[str, bool]) -> list[Finding]:
    """NII011: labels without anything labeled are counted; where all are, nothing can be learned."""
    count = sum(empty.values())
    if not count:
        return []
    message = f"{count} of {len(empty)} labels are empty"
    if count < len(empty):
        return [Finding("NII011", "note", f"{message} (negative cases)")]
    fix = "look at the labels: were they converted or resampled away?"
    return [Finding("NII011", "error", f"{message}: there is nothing to learn", fix, case=next(iter(empty)))]
