"""Does a network hold on another scanner? Trained there, trained elsewhere, and fine-tuned on three people of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.checks.config_text import check_file
from medbundles.checks.sites import check_sites
from medbundles.checks.verdict import refuse
from medbundles.command_files import configuration_files
from medbundles.errors import ConfigurationError, Finding, Interrupted, MedbundlesError, OutputConflict, Terminated
from medbundles.io.atomic import atomic_path, write_csv, write_json, write_text
from medbundles.io.datalist import CHANNELS_KEY, DATALIST_NAME, Record, listed_channels, read_datalist, records
from medbundles.io.fingerprint import NAME as FINGERPRINT_NAME
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.locks import FolderLock
from medbundles.io.option_words import option_pairs
from medbundles.registry import bundle_folder

TABLE, FIGURE, PAGE = "generalization.csv", "generalization.png", "generalization.md"
# A row of the table for each figure of the evaluations, by metric.
FIGURES = {"quality": ("mae", "psnr", "ssim", "correlation"), "tissue": ("tissue_dice",), "pixels": ("dice",)}
WORDS = {"mae": "MAE (z units)", "psnr": "PSNR (dB)", "ssim": "SSIM", "tissue_dice": "tissue Dice", "dice": "Dice"}


@dataclass(frozen=True)
class Experiment:
    """What is trained on what, and judged on the same cases every time.

    Attributes:
        bundle: its name or folder.
        first: prepared folder of one site, "A".
        second: prepared folder of another site, "C", whose network is fine-tuned.
        target: prepared folder of the site that both are applied to, "B".
        output: where the runs, the table and the figure go.
        fine_tune_cases: people of the target site that the fine-tuning sees; one of them validates.
        fine_tune: overrides of the fine-tuning's keys, as words.
        train: overrides of all trainings' keys, as words.
    """

    bundle: str
    first: Path
    second: Path
    target: Path
    output: Path
    fine_tune_cases: int = 3
    fine_tune: tuple[str, ...] = ()
    train: tuple[str, ...] = ()


def generalize(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Run the experiment; what an earlier, interrupted run finished is not done again.

    Source: Li et al., *DeepAnat*, Medical Image Analysis 86, 2023, where networks of one site were applied to another,
    directly and after fine-tuning on three of its subjects.

    Args:
        experiment: what to do.

    Returns:
        The evaluations' summaries by the name of what was trained. The table (``generalization.csv``, ``.md``) and the
        figure (``generalization.png``) lie in the output folder.

    Raises:
        ConfigurationError: too few people at the target site, a folder that is given twice, another grid, or an overlay
            or configuration file that cannot be used.
        DataError: images of the target among those trained on (NII014), or channels that are not there (NII008).
        OutputConflict: an output folder of another experiment.
        MedbundlesError: one of the commands refused or failed, with its exit code; it has said why.
    """
    lock = FolderLock(experiment.output)
    lock.acquire()
    try:
        tuning, testing = deal_target(experiment)
        _refuse_sites(experiment, [*tuning, *testing])
        _refuse_other(experiment, tuning, testing)
        summaries = _run_all(experiment, tuning, testing)
    finally:
        lock.release()
    publish(experiment.output, summaries)
    return summaries


def deal_target(experiment: Experiment) -> tuple[list[Record], list[Record]]:
    """Return the records of the target site that fine-tuning sees, and those that every network is judged on.

    Its own test part is judged on where it has one; the people to tune on are the first of its training part by a hash
    of their name, so that neither depends on the order of the list.

    Raises:
        ConfigurationError: fewer people than are needed (TRN011).
    """
    lists = read_datalist(experiment.target)
    training = _training_of(experiment.target)
    people = sorted({str(record["subject"]) for record in training}, key=sha256_data)
    chosen = people[: experiment.fine_tune_cases]
    rest = [record for record in training if record["subject"] not in chosen]
    testing = records(experiment.target, "testing") if lists["testing"] else rest
    if experiment.fine_tune_cases < 2 or len(chosen) < experiment.fine_tune_cases or not testing:
        message = f"{len(people)} people to fine-tune on and {len(testing)} cases to judge on"
        wanted = max(experiment.fine_tune_cases, 2)
        fix = f"the target needs {wanted} people to fine-tune on, one of whom validates, and others to judge on"
        raise ConfigurationError(findings=[Finding("TRN011", "error", message, fix, file=str(experiment.target))])
    tuning = [record | {"fold": chosen.index(record["subject"])} for record in training if record["subject"] in chosen]
    return tuning, testing


def labels_of(folders: Sequence[Path]) -> list[str]:
    """Return the ends of different paths, as short as tells them apart: ``a/data`` and ``b/data``, but north, south."""
    paths = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, paths)) + 1):
        ends = ["/".join(parts[-length:]) for parts in paths]
        if len(set(ends)) == len(ends):
            return ends
    return [str(folder) for folder in folders]


def publish(output: Path, summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the table and draw the figure."""
    rows = [_row(name, summary) for name, summary in summaries.items()]
    figures = [name for names in FIGURES.values() for name in names if name in rows[0]]
    write_csv(output / TABLE, rows, list(rows[0]))
    write_json(output / "summaries.json", dict(summaries))
    header = f"| network | cases | {' | '.join(WORDS.get(name, name) for name in figures)} |"
    lines = [header, "|" + "---|" * (len(figures) + 2)]
    for row in rows:
        cells = [_cell(row, name) for name in figures]
        lines.append(f"| {row['network']} | {row['cases']} | {' | '.join(cells)} |")
    write_text(output / PAGE, "\n".join(lines) + "\n")
    draw(output / FIGURE, rows, figures)


def draw(path: Path, rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> None:
    """Draw each figure with its 95 % interval, one panel a figure, one line a network."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(2.6 * len(figures) + 2.2, 0.5 * len(rows) + 1.4), dpi=120, layout="constrained")
    panels = picture.subplots(1, len(figures), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, figures, strict=True):
        for place, row in enumerate(rows):
            value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
            if value is None:
                continue
            around = None if low is None else [[value - low], [high - value]]
            panel.errorbar(value, place, xerr=around, fmt="o", color="#1f5a94", capsize=3)
        panel.set_title(WORDS.get(name, name), fontsize=9)
        panel.grid(axis="x", alpha=0.3)
        panel.tick_params(labelsize=8)
    panels[0].set_yticks(range(len(rows)), [str(row["network"]) for row in rows])
    panels[0].invert_yaxis()
    with atomic_path(path) as temporary:
        picture.savefig(temporary, format="png")


def _run_all(experiment: Experiment, tuning: Sequence[Record], testing: Sequence[Record]) -> dict[str, dict[str, Any]]:
    output = experiment.output
    target = output / "target"
    _write_target(experiment, target, tuning, testing)
    first, second, tuned = output / "train_first", output / "train_second", output / "fine_tuned"
    names = labels_of([experiment.first, experiment.second, experiment.target])
    summaries: dict[str, dict[str, Any]] = {}
    _train(experiment, experiment.first, first)
    summaries[f"trained on {names[0]}"] = _evaluate(experiment, target, first)
    _train(experiment, experiment.second, second)
    summaries[f"trained on {names[1]}"] = _evaluate(experiment, target, second)
    extra = ("--pretrained", str(second / "model.pt"), *_discriminator(second), *experiment.fine_tune)
    _train(experiment, target, tuned, *extra)
    name = f"trained on {names[1]}, fine-tuned on {experiment.fine_tune_cases} of {names[2]}"
    summaries[name] = _evaluate(experiment, target, tuned)
    return summaries


def _train(experiment: Experiment, dataset_dir: Path, run: Path, *extra: str) -> None:
    status = _status(run)
    if status == "completed":
        return
    again = ("--resume", "true") if (run / "last.pt").is_file() else ("--overwrite", "true")
    _call("train", experiment.bundle, dataset_dir, run, *experiment.train, *extra, *again)


def _evaluate(experiment: Experiment, target: Path, run: Path) -> dict[str, Any]:
    folder = experiment.output / f"evaluate_{run.name}"
    if _status(folder) != "completed":
        _call("evaluate", experiment.bundle, target, folder, "--weights", str(run / "model.pt"), "--overwrite", "true")
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return content


def _call(command: str, bundle: str, dataset_dir: Path, output_dir: Path, *words: str) -> None:
    """Run a command of this package in a process of its own, so that the memory of one step does not stay for the next.

    Raises:
        MedbundlesError: it ended with another code than 0.
    """
    places = ("--dataset_dir", str(dataset_dir), "--output_dir", str(output_dir))
    line = [sys.executable, "-m", "medbundles", command, bundle, *places, *words]
    print(f"generalize: {command} into {output_dir}", file=sys.stderr, flush=True)
    code = _wait_for(subprocess.Popen(line, env=os.environ))
    if code:
        kind = next((one for one in MedbundlesError.__subclasses__() if one.exit_code == code), MedbundlesError)
        raise kind(f"stopped: `medbundles {command}` into {output_dir} ended with {code}; start again to go on")


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a child; a stop is its own to make in good order."""
    try:
        return process.wait()
    except KeyboardInterrupt as error:
        if isinstance(error, Terminated):
            process.terminate()
        process.wait()
        raise Interrupted("stopped; start again to go on") from error


def _discriminator(run: Path) -> tuple[str, ...]:
    file = run / "discriminator.pt"
    return ("--pretrained_discriminator", str(file)) if file.is_file() else ()


def _status(run: Path) -> str | None:
    record = run / "run.json"
    return json.loads(record.read_text(encoding="utf-8")).get("status") if record.is_file() else None


def _write_target(experiment: Experiment, folder: Path, tuning: Sequence[Record], testing: Sequence[Record]) -> None:
    """Write a prepared folder that names the target's files where they lie."""
    content: dict[str, Any] = {"training": list(tuning), "testing": list(testing)}
    channels = listed_channels(experiment.target)
    if channels is not None:
        content = {CHANNELS_KEY: channels, **content}
    folder.mkdir(parents=True, exist_ok=True)
    source = experiment.target / FINGERPRINT_NAME
    if source.is_file():
        write_text(folder / FINGERPRINT_NAME, source.read_text(encoding="utf-8"))
    write_json(folder / DATALIST_NAME, content)


def _refuse_sites(experiment: Experiment, people: Sequence[Record]) -> None:
    """Refuse before anything is trained what an evaluation would refuse after it, or what would not be a test."""
    sites = {"first": experiment.first, "second": experiment.second}
    training = {name: (folder, _training_of(folder)) for name, folder in sites.items()}
    findings = check_sites(training, (experiment.target, people), _channels(experiment))
    if any(finding.code.startswith("CFG") for finding in findings):
        raise ConfigurationError(findings=findings)
    refuse(findings)


def _channels(experiment: Experiment) -> list[str] | None:
    """Return what the networks take: the trainings' own ``--channels``, else what the last of their files says."""
    import yaml

    chosen = [yaml.safe_load(value) for name, value in option_pairs(experiment.train) if name == "channels"]
    if not chosen:
        contents = [yaml.safe_load(file.read_text("utf-8")) for file in _training_files(experiment)]
        chosen = [content["channels"] for content in contents if "channels" in content] or [None]
    names = [chosen[-1]] if isinstance(chosen[-1], str) else chosen[-1]
    return [str(name) for name in names] if isinstance(names, list) else None


def _training_files(experiment: Experiment) -> list[Path]:
    """Return the configuration files of the trainings.

    Raises:
        ConfigurationError: an unknown overlay or an absent file (CFG001), or one that cannot be read (CFG003).
    """
    options = option_pairs(experiment.train)
    overlays = [value for name, value in options if name == "overlay"]
    extra = [Path(value) for name, value in options if name == "config_file"]
    files = configuration_files("train", bundle_folder(experiment.bundle), overlays, extra)
    if findings := [finding for file in files for finding in check_file(file)]:
        raise ConfigurationError(findings=findings)
    return files


def _training_of(folder: Path) -> list[Record]:
    """Return all records that a folder lists for training, those that validate among them."""
    listed = read_datalist(folder)["training"]
    return [record for fold in _folds(listed) for record in records(folder, "validation", fold)]


def _refuse_other(experiment: Experiment, tuning: Sequence[Record], testing: Sequence[Record]) -> None:
    """Refuse to mix the results of two experiments in one folder (TRN005)."""
    folders = [folder.resolve() for folder in (experiment.first, experiment.second, experiment.target)]
    facts: dict[str, Any] = {
        "bundle": experiment.bundle,
        "folders": [str(folder) for folder in folders],
        # Data that were prepared anew in the same place are others; so are those of a record that does not say.
        "data": [_content_of(folder) for folder in folders],
        "train": list(experiment.train),
        "fine_tune": list(experiment.fine_tune),
        "tuning": sorted(str(record["case"]) for record in tuning),
        "testing": sorted(str(record["case"]) for record in testing),
    }
    if files := _training_files(experiment)[1:]:
        # The words only name them.
        facts["files"] = {file.name: sha256_file(file) for file in files}
    path = experiment.output / "experiment.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != facts:
        message = f"{experiment.output} holds another experiment (other folders, data, keys or cases)"
        raise OutputConflict(findings=[Finding("TRN005", "error", message, "choose another --output", file=path.name)])
    write_json(path, facts)


def _content_of(folder: Path) -> dict[str, str]:
    names = (DATALIST_NAME, FINGERPRINT_NAME)
    return {name: sha256_file(folder / name) for name in names if (folder / name).is_file()}


def _folds(training: Sequence[Record]) -> list[int]:
    return sorted({int(record.get("fold", 0)) for record in training})


def _row(name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"network": name, "cases": None}
    for metric, figures in FIGURES.items():
        content = summary.get(metric) or {}
        row["cases"] = content.get("n", row["cases"])
        for figure in figures:
            if figure in content:
                interval = content.get("intervals", {}).get(figure) or (None, None)
                row |= {figure: content[figure], f"{figure}_low": interval[0], f"{figure}_high": interval[1]}
    return row


def _cell(row: Mapping[str, Any], name: str) -> str:
    if row.get(name) is None:
        return "undefined"
    interval = "" if row[f"{name}_low"] is None else f" ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
    return f"{row[name]:.2f}{interval}"
