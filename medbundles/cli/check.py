"""``medbundles check``: look at data before anything works on it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from medbundles.errors import Finding
    from medbundles.io.headers import Geometry


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("check", context_settings=settings)(check)


def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The bundle the data are meant for.", metavar="NAME")],
    path: Annotated[Path, typer.Argument(help="A raw source, a prepared folder, or cases for inference.")],
    overlay: Annotated[
        list[str] | None, typer.Option("--overlay", help="The overlay they are meant for, such as malignancy.")
    ] = None,
    allow: Annotated[str, typer.Option(help="Fault codes to let pass, such as ['NII004'].")] = "[]",
    geometry: Annotated[str | None, typer.Option(help="Where the two disagree: sform or qform.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse warnings as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check data as prepare, train and infer do, and say everything that was found.

    Keys of the bundle's training that say what the data are go with it: --contrasts "['dwi','flair']".

    Ends with 0, or with 3 when something must not be used as it is.
    """
    from medbundles.checks.verdict import apply_allow, refuse
    from medbundles.command_files import configuration_files
    from medbundles.registry import bundle_folder

    files = configuration_files("train", bundle_folder(name), overlay or (), ())
    rules = _rules(files, context.args, path)
    kind, findings = _look(rules, path, _codes(allow), _geometry(geometry))
    findings = apply_allow(findings, _codes(allow))
    if as_json:
        print(json.dumps({"kind": kind, "findings": [finding.as_dict() for finding in findings]}, indent=2))
    else:
        print(f"{path.name}: {kind}")
        for finding in findings:
            if finding.level == "note":
                print(finding)
    refuse(findings, strict=strict)
    if not as_json:
        counts = Counter(finding.level for finding in findings)
        print(f"no errors, {counts['warning']} warnings, {counts['note']} notes")


def _look(
    rules: dict[str, Any], path: Path, allow: Collection[str], geometry: Geometry | None
) -> tuple[str, list[Finding]]:
    """Return what the path holds, in words, and what is to say about it."""
    from medbundles.checks.cases import inspect_cases
    from medbundles.checks.contrast_records import check_tumor_source
    from medbundles.checks.dataset import check_dataset
    from medbundles.checks.diffusion_cases import check_raw_scans
    from medbundles.checks.lidc import check_lidc
    from medbundles.checks.luna import check_luna16
    from medbundles.io.brats import is_tumor_source
    from medbundles.io.cases import find_cases
    from medbundles.io.datalist import DATALIST_NAME, read_datalist
    from medbundles.io.dataset_json import DATASET_FILE
    from medbundles.io.decathlon import read_task
    from medbundles.io.lidc import is_lidc
    from medbundles.io.luna16 import is_luna16

    targets = {key: rules.pop(key) for key in ("label_values", "image_target")}
    aliases = rules.pop("channel_aliases")
    if path.suffix == ".json" or (path / DATALIST_NAME).is_file():
        parts = read_datalist(path)
        kind = f"prepared folder, {len(parts['training'])} training and {len(parts['testing'])} testing cases"
        return kind, check_dataset(path, allow=allow, geometry=geometry, **targets, **rules)
    if is_luna16(path):
        return "raw source in LUNA16's layout", check_luna16(path)
    if is_lidc(path):
        return "raw source in LIDC-IDRI's layout", check_lidc(path)
    if is_tumor_source(path):
        return check_tumor_source(path, geometry)
    if (path / DATASET_FILE).is_file() and (path / "imagesTr").is_dir():
        return "raw source in the layout of the Decathlon or nnU-Net", read_task(path)[1]
    if targets["image_target"]:
        return check_raw_scans(path, geometry)
    cases = find_cases(path, rules["channels"], rules["missing_contrasts"], aliases)
    return f"{len(cases)} cases for inference", inspect_cases(cases, geometry=geometry, **rules)


def _rules(files: Sequence[Path], words: Sequence[str], path: Path) -> dict[str, Any]:
    """Read what the bundle's data must be from the place where training and inference read it too.

    Args:
        files: the bundle's configurations.
        words: overrides.
        path: the data, which may say it themselves in a plan.
    """
    import yaml

    from medbundles.checks.config_ids import follow
    from medbundles.cli.overrides import parse_overrides
    from medbundles.errors import ConfigurationError, Finding

    config: dict[str, Any] = {}
    for file in files:
        config |= yaml.safe_load(file.read_text(encoding="utf-8"))
    config |= _planned(config, files[0], path)
    inference = _inference(files[0])
    overrides = parse_overrides(words)
    unknown = [key for key in overrides if key not in config and key.split("::")[0] not in inference]
    if unknown:
        fix = "`medbundles check --help` lists the options; other keys are those at the top of the bundle's train.yaml"
        raise ConfigurationError(findings=[Finding("CFG001", "error", f"unknown key {key!r}", fix) for key in unknown])
    config |= overrides
    prefix = "session::"
    session = config["session"] | {key.removeprefix(prefix): config[key] for key in config if key.startswith(prefix)}
    return {
        "channels": follow(config, session["channels"]),
        "modality": session.get("modality"),
        "label_values": _label_values(config, session.get("label_values")),
        "image_target": session.get("image_target", False),
        "missing_contrasts": session.get("missing_contrasts", False),
        "channel_aliases": _aliases(inference, overrides),
        "patch_size": config.get("patch_size"),
    }


def _planned(config: Mapping[str, Any], train: Path, path: Path) -> dict[str, Any]:
    """Return the keys that a plan decides: the one beside the data, else the released weights' own."""
    from medbundles.io.plan import EXAMPLE, PLAN_NAME, modality_of, read_plan
    from medbundles.registry import released_model

    if "plan" not in config:
        return {}
    if (path / PLAN_NAME).is_file():
        plan = read_plan(path)
    else:
        released = released_model(train.parents[1])
        plan = released.description["preprocessing"].get("plan", EXAMPLE) if released else EXAMPLE
    named = {key: re.fullmatch(r"\$@plan\['(\w+)'\]", str(value)) for key, value in config.items()}
    planned = {key: plan[found[1]] for key, found in named.items() if found and found[1] in plan}
    session = dict(config["session"], modality=modality_of(plan["normalization"]))
    return {**planned, "session": session}


def _inference(train: Path) -> dict[str, Any]:
    """Return the bundle's ``inference.yaml``: how the files of a channel may be called is said there."""
    import yaml

    file = train.with_name("inference.yaml")
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _aliases(inference: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
    from medbundles.checks.config_ids import follow

    named = inference.get("session", {}).get("channel_aliases")
    if not isinstance(named, str) or not named.startswith("@"):
        return named
    key = named.removeprefix("@")
    aliases = overrides.get(key, follow(inference, named))
    changed = {id_.partition("::")[2]: value for id_, value in overrides.items() if id_.startswith(f"{key}::")}
    return {**aliases, **changed} if isinstance(aliases, Mapping) else aliases


def _label_values(config: Mapping[str, Any], values: Any) -> list[int] | None:
    """Return the values that labels may have; a bundle whose labels are a key says them as an expression of it."""
    if isinstance(values, str) and isinstance(config.get("labels"), Mapping):
        return [0, *map(int, config["labels"])]
    return values if isinstance(values, list) else None


def _codes(text: str) -> list[str]:
    import yaml

    from medbundles.errors import ConfigurationError, Finding

    try:
        codes = yaml.safe_load(text) or []
    except yaml.YAMLError:
        codes = None
    codes = [codes] if isinstance(codes, str) else codes
    if isinstance(codes, list) and all(isinstance(code, str) for code in codes):
        return codes
    message = f"--allow {text}: expected a list of fault codes"
    raise ConfigurationError(findings=[Finding("CFG002", "error", message, "write --allow \"['NII004']\"")])


def _geometry(text: str | None) -> Geometry | None:
    from medbundles.errors import ConfigurationError, Finding

    match text:
        case None | "sform" | "qform":
            return text
    raise ConfigurationError(findings=[Finding("CFG002", "error", f"--geometry {text}: expected sform or qform")])
