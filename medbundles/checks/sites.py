"""Whether prepared folders of several sites can be compared: other folders, other people, the same kind of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medbundles.checks.cases import images_of
from medbundles.errors import Finding
from medbundles.io.datalist import DATALIST_NAME, Record, listed_channels
from medbundles.io.fingerprint import network_grid, read_fingerprint
from medbundles.io.hashing import sha256_file

# What of a case's entry in fingerprint.json is one person's alone: labels without a finding are all alike.
PERSONAL_HASHES = ("image_sha256", "t1w_sha256")
GRID_FIX = "prepare all sites with the same options"


def check_sites(
    training: Mapping[str, tuple[Path, Sequence[Record]]],
    target: tuple[Path, Sequence[Record]],
    channels: Sequence[str] | None = None,
) -> list[Finding]:
    """Check the sites of a comparison: what is trained on must be others' images, of the kind that is judged.

    Args:
        training: prepared folder and the records that are trained on, by the site's name.
        target: prepared folder and the records of the site that the networks are tuned and judged on.
        channels: what the networks take; None leaves the folders' channels unchecked.

    Returns:
        CFG002 for a folder that is given twice; else CFG004 for another grid, NII008 for channels that are not there,
        NII014 for images that are the target's, and as a warning for people who are only called as the target's.
    """
    folders = {**{name: folder for name, (folder, _) in training.items()}, "target": target[0]}
    same = list(_same_folders(folders))
    if same:
        return same
    people = [finding for name, site in training.items() for finding in _check_people(name, site, target)]
    return [*_check_grids(folders), *_check_channels(folders, channels), *people]


def _same_folders(folders: Mapping[str, Path]) -> Iterator[Finding]:
    seen: dict[Path, str] = {}
    for name, folder in folders.items():
        first = seen.setdefault(folder.resolve(), name)
        if first != name:
            message = f"--{name} is the same folder as --{first}: {folder}"
            yield Finding("CFG002", "error", message, "give three folders of different sites")


def _check_grids(folders: Mapping[str, Path]) -> Iterator[Finding]:
    expected = network_grid(folders["target"])
    for name, folder in folders.items():
        grid = network_grid(folder)
        if grid != expected:
            message = f"--{name} is on a grid of {_in_words(grid)}, --target on one of {_in_words(expected)}"
            yield Finding("CFG004", "error", message, GRID_FIX, file=str(folder))


def _check_channels(folders: Mapping[str, Path], channels: Sequence[str] | None) -> Iterator[Finding]:
    for name, folder in folders.items():
        listed = listed_channels(folder)
        missing = [channel for channel in channels or () if listed is not None and channel not in listed]
        if missing:
            message = f"--{name} has no channel {', '.join(missing)}, expected all that the network takes"
            fix = "prepare it with these channels, or choose others with --channels"
            yield Finding("NII008", "error", message, fix, file=str(folder / DATALIST_NAME))


def _check_people(
    name: str, site: tuple[Path, Sequence[Record]], target: tuple[Path, Sequence[Record]]
) -> list[Finding]:
    found, expected = _hashes_of(site), _hashes_of(target)
    if any(not hashes for hashes in (*found.values(), *expected.values())):
        found, expected = _hashes_of_files(site[1]), _hashes_of_files(target[1])
    owners = {each: case for case, hashes in expected.items() for each in hashes}
    shared = {case: owners[each] for case, hashes in found.items() for each in hashes if each in owners}
    findings = [
        Finding(
            "NII014",
            "error",
            f"--{name} trains on images that --target has too (case {other})",
            "keep each person at one site; scores would be too good otherwise",
            case=case,
        )
        for case, other in shared.items()
    ]
    called = {str(record["subject"]) for record in site[1]} & {str(record["subject"]) for record in target[1]}
    if called and not findings:
        message = f"{len(called)} people of --{name} are called as people of --target, for example {min(called)}"
        fix = "make sure that they are others; scores would be too good otherwise"
        findings.append(Finding("NII014", "warning", message, fix))
    return findings


def _hashes_of(site: tuple[Path, Sequence[Record]]) -> dict[str, set[str]]:
    """Return what ``fingerprint.json`` says of each case's images; nothing for a case that is not in it."""
    folder, cases = site
    known = read_fingerprint(folder).get("cases") or {}
    entries = {str(case["case"]): known.get(str(case["case"])) or {} for case in cases}
    return {case: {str(entry[key]) for key in PERSONAL_HASHES if key in entry} for case, entry in entries.items()}


def _hashes_of_files(cases: Sequence[Record]) -> dict[str, set[str]]:
    return {str(case["case"]): {sha256_file(path) for path in images_of(case) if path.is_file()} for case in cases}


def _in_words(grid: float | str) -> str:
    return "the diffusion images" if isinstance(grid, str) else f"{grid:g} mm"
