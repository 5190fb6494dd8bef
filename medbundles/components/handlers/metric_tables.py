"""The evaluation's results as files: a row a case, a summary, a curve."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medbundles.components.distributed import is_writer
from medbundles.components.metrics import CaseMetric, Froc, LesionDetection, LesionWise, NoduleDetection
from medbundles.components.metrics.froc import LUNA16_RATES
from medbundles.io.atomic import atomic_path, write_csv, write_json

TABLE_NAME = "metrics.csv"
SUMMARY_NAME = "summary.json"
FROC_NAME = "froc.png"
LESIONS_NAME = "lesions.csv"
# The metrics whose curves are drawn.
CURVES = (LesionDetection, NoduleDetection)

# Figures that need no more words than their names.
PLAIN_FIGURES = ("mae", "ssim", "tissue_dice")

# What is told of each region of metrics that have several.
REGION_FIGURES = {"dice": "dice", "hd95_mm": "HD95 in mm (374 where one is empty)", "lesion_dice": "lesion-wise dice"}

KEY_COLUMNS = ("case", "region")

# As many metrics have a line each.
LONG_LIST = 5


class MetricTables:
    """Write ``metrics.csv``, ``summary.json`` and, where lesions are measured, ``froc.png`` when an evaluator ends.

    The table has one row a case, sorted by name, with the columns of all metrics; a column that several metrics have
    is prefixed with the metric's name. Metrics of regions have a row a case and region, and where lesions are scored
    one by one ``lesions.csv`` has a row for each. The summary has one entry a metric: means, ``n``, ``n_empty``,
    intervals. The main figures and the files are told on the standard error stream.

    Args:
        output_dir: where the files go; those of an earlier evaluation are replaced.
        metrics: name to metric, the same objects that the evaluator got.
        prefix: put before the file names, with an underscore.
    """

    def __init__(
        self, output_dir: str | os.PathLike[str], metrics: Mapping[str, CaseMetric[Any]], prefix: str = ""
    ) -> None:
        self.output_dir = Path(output_dir)
        self.metrics = dict(metrics)
        self.prefix = f"{prefix}_" if prefix else ""

    def attach(self, engine: Engine) -> None:
        """Write when ``engine`` has completed its run."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the files, in one process of a group only."""
        if not is_writer():
            return
        rows = merged_table({name: metric.table() for name, metric in self.metrics.items()})
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table, summary_file, picture = (
            self.output_dir / f"{self.prefix}{name}" for name in (TABLE_NAME, SUMMARY_NAME, FROC_NAME)
        )
        write_csv(table, rows, columns or ["case"])
        summary = {name: metric.summary() for name, metric in self.metrics.items()}
        write_json(summary_file, summary)
        curves = {name: metric.froc() for name, metric in self.metrics.items() if isinstance(metric, CURVES)}
        drawn = any(len(curve.thresholds) for curve in curves.values())
        if drawn:
            draw_froc(picture, curves)
        lesions = [
            row for metric in self.metrics.values() if isinstance(metric, LesionWise) for row in metric.lesion_table()
        ]
        if lesions:
            write_csv(self.output_dir / f"{self.prefix}{LESIONS_NAME}", lesions, list(lesions[0]))
        cases = len({row["case"] for row in rows})
        intervals = " (95 % intervals by case)" if cases > 1 else ""
        # What several classes fill would be one line of a thousand letters.
        separator = "; " if len(self.metrics) < LONG_LIST else ";\n  "
        print(f"{cases} case(s): {separator.join(headlines(summary))}{intervals}", file=sys.stderr)
        if curves and not drawn:
            print(f"no {FROC_NAME}: no scan has a lesion or a finding to draw a curve from", file=sys.stderr)
        more = [*([picture] if drawn else []), *([self.output_dir / f"{self.prefix}{LESIONS_NAME}"] if lesions else [])]
        names = ", ".join(str(path) for path in (table, summary_file, *more))
        print(f"tables: {names}", file=sys.stderr, flush=True)


def headlines(summary: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the main figure of each metric with its interval, as ``dice 0.19 (0.01 to 0.37)``.

    A figure that several metrics have is led by the metric's name.

    Args:
        summary: name of the metric to its summary.
    """
    for name, content in summary.items():
        if "auc" in content:
            found = f"{content['malignant_found']} malignant and {content['benign_found']} benign nodules found"
            yield f"area under the ROC curve {_value('auc', content)} of {found}"
        for figure in PLAIN_FIGURES:
            if figure in content:
                yield f"{_called(figure, name, summary).replace('_', ' ')} {_value(figure, content)}"
        if "dice" in content:
            yield f"{_called('dice', name, summary)} {_value('dice', content)}"
        if "regions" in content:
            yield from _of_regions(content["regions"])
        if "sensitivity" in content:
            budget = content["false_positive_budget"]
            called = _called("sensitivity", name, summary)
            yield f"{called} {_value('sensitivity', content)} at {budget:g} false positives a case"
        if "luna16_score" in content:
            yield f"LUNA16 score {_value('luna16_score', content)}"
            continue
        if "at_fixed_threshold" in content:
            fixed = content["at_fixed_threshold"]
            rate = _value("false_positives_per_scan", fixed)
            yield f"at the model's own threshold {_value('sensitivity', fixed)} at {rate} false positives a case"


def _of_regions(regions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line a figure that any region has, with the regions' values."""
    for figure, words in REGION_FIGURES.items():
        known = {name: content for name, content in regions.items() if content.get(figure) is not None}
        if known:
            yield f"{words}: " + ", ".join(f"{name} {_value(figure, content)}" for name, content in known.items())


def _called(figure: str, metric: str, summary: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a figure's name, with its metric's where several metrics have it and theirs does not say it already."""
    words = metric.replace("_", " ")
    if sum(figure in content for content in summary.values()) == 1:
        return figure
    return words if words.endswith(figure) else f"{words}: {figure}"


def _value(name: str, content: Mapping[str, Any]) -> str:
    value, interval = content[name], content["intervals"][name]
    if value is None:
        return "undefined"
    return f"{value:.2f}" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")


def merged_table(tables: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Join the rows of several metrics by their ``case``, and by their ``region`` where they have one.

    Args:
        tables: name of the metric to its rows.
    """
    columns = [column for table in tables.values() for column in (table[0] if table else {})]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for name, table in tables.items():
        for row in table:
            keys = {column: row[column] for column in KEY_COLUMNS if column in row}
            merged = rows.setdefault((row["case"], row.get("region", "")), keys)
            for column, value in row.items():
                if column not in keys:
                    merged[column if columns.count(column) == 1 else f"{name}_{column}"] = value
    # Regions stay in their own order.
    return [rows[key] for key in sorted(rows, key=lambda key: key[0])]


def draw_froc(path: Path, curves: Mapping[str, Froc]) -> None:
    """Draw sensitivity against false positives a scan, on LUNA16's axis from 1/8 to 8.

    Args:
        path: the picture, ending in ``.png``.
        curves: name to curve; one line each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.step(curve.false_positives_per_scan, curve.sensitivity, where="post", label=name)
    axes.set_xscale("log", base=2, nonpositive="clip")
    axes.set_xlim(LUNA16_RATES[0], LUNA16_RATES[-1])
    axes.set_xticks(LUNA16_RATES, [f"{rate:g}" for rate in LUNA16_RATES])
    axes.set_ylim(0, 1)
    axes.set_xlabel("false positives per scan")
    axes.set_ylabel("sensitivity")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
