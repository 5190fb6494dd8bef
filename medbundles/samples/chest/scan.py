"""One synthetic scan: patient, protocol, a list of structures, acquisition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.samples.chest import atelectasis, bronchi, hila, lookalikes, nodules, pleura
from medbundles.samples.chest.acquisition import acquire
from medbundles.samples.chest.airways import draw_airways
from medbundles.samples.chest.anatomy import build_anatomy
from medbundles.samples.chest.canvas import Canvas
from medbundles.samples.chest.motion import blur_heartbeat
from medbundles.samples.chest.parenchyma import Disease, draw_disease
from medbundles.samples.chest.patient import draw_patient
from medbundles.samples.chest.protocol import Protocol, draw_protocol
from medbundles.samples.chest.scene import Scene
from medbundles.samples.chest.series_uid import series_uid
from medbundles.samples.chest.tissue import TissuePainter
from medbundles.samples.chest.vessels import draw_great_vessels, draw_lung_vessels, grow_lung_vessels
from medbundles.samples.seeding import stream

Structure = Callable[[Scene, np.random.Generator], None]


def _great_vessels(scene: Scene, generator: np.random.Generator) -> None:
    draw_great_vessels(scene.canvas, scene.patient)


def _lung_vessels(scene: Scene, generator: np.random.Generator) -> None:
    draw_lung_vessels(scene.canvas, scene.trees, scene.patient)


def _airways(scene: Scene, generator: np.random.Generator) -> None:
    draw_airways(scene.canvas, scene.trees, scene.patient.half_width / 125, scene.patient.bronchial_wall)


# What is drawn, in this order, each with random numbers of its own: a structure added here leaves the others as they
# are. Nodules come first among the findings, so look-alikes make room for them.
STRUCTURES: tuple[tuple[str, Structure], ...] = (
    ("great_vessels", _great_vessels),
    ("lung_vessels", _lung_vessels),
    ("airways", _airways),
    ("nodules", nodules.add_nodules),
    ("lymph_nodes", lookalikes.add_lymph_nodes),
    ("scars", lookalikes.add_scars),
    ("granulomas", lookalikes.add_granulomas),
    ("vessel_crossings", lookalikes.add_vessel_crossings),
    ("plaques", pleura.add_plaques),
    ("apical_caps", pleura.add_apical_caps),
    ("osteophytes", pleura.add_osteophytes),
    ("bands", atelectasis.add_bands),
    ("dependent_plates", atelectasis.add_dependent_plates),
    ("round_atelectasis", atelectasis.add_round_atelectasis),
    ("mucus_plugs", bronchi.add_mucus_plugs),
    ("hilar_nodes", hila.add_hilar_nodes),
    ("vessel_courses", hila.add_vessel_courses),
    ("motion", blur_heartbeat),
)


@dataclass(frozen=True)
class Scan:
    """A finished scan.

    Attributes:
        array: ``(z, y, x)`` int16 HU.
        spacing_mm: ``(x, y, z)``.
        offset_lps_mm: ``(x, y, z)`` of the first voxel's center.
        record: plain data for ``samples.json``: uid, acquisition, nodules and look-alikes in LPS mm.
    """

    array: npt.NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    offset_lps_mm: tuple[float, float, float]
    record: dict[str, Any]


def make_scan(
    seed: int,
    case: int,
    matrix: int = 384,
    pixel_spacing_mm: float | None = None,
    extent_mm: tuple[float, float] = (100.0, 220.0),
) -> Scan:
    """Make a scan; it depends on nothing but the arguments.

    Args:
        seed: the data set's seed.
        case: the scan's number within the data set.
        matrix: rows and columns of a slice.
        pixel_spacing_mm: fixed edge of a pixel, or None for a field of view drawn around the lungs.
        extent_mm: smallest and largest range of heights.
    """
    patient = draw_patient(stream(seed, case, "patient"))
    protocol = draw_protocol(stream(seed, case, "protocol"), patient, matrix, pixel_spacing_mm, extent_mm)
    grid = protocol.grid
    anatomy = build_anatomy(patient, seed, case, grid.matrix * grid.pixel_mm / 2)
    trees = grow_lung_vessels(patient, anatomy, stream(seed, case, "trees"))
    disease = draw_disease(stream(seed, case, "disease"))
    painter = TissuePainter(patient, anatomy, grid, disease, stream(seed, case, "texture"))
    hu = np.empty(grid.fine_shape, dtype=np.float32)
    for number in range(len(hu)):
        hu[number] = painter.paint(number)
    scene = Scene(patient, anatomy, trees, Canvas(grid, hu))
    for name, structure in STRUCTURES:
        if name != "nodules" or not nodules.is_empty_scan(seed, case):
            structure(scene, stream(seed, case, name))
    array = acquire(scene.canvas.hu, protocol, stream(seed, case, "noise"))
    offset = np.round(np.array(grid.first_mm) + protocol.shift_mm, 6)
    shift = offset - np.array(grid.first_mm)
    return Scan(
        array=array,
        spacing_mm=(grid.pixel_mm, grid.pixel_mm, grid.slice_mm),
        offset_lps_mm=(float(offset[0]), float(offset[1]), float(offset[2])),
        record=_record(scene, protocol, disease, shift, series_uid(seed, case), case),
    )


def _record(
    scene: Scene, protocol: Protocol, disease: Disease, shift: npt.NDArray[np.float64], uid: str, case: int
) -> dict[str, Any]:
    def moved(finding: dict[str, Any]) -> dict[str, Any]:
        world = {
            f"{key[:-3]}_lps_mm": [round(float(v), 6) for v in np.array(value) + shift]
            for key, value in finding.items()
            if key in {"center_mm", "lower_mm", "upper_mm"}
        }
        return world | {key: value for key, value in finding.items() if f"{key[:-3]}_lps_mm" not in world}

    grid = protocol.grid
    return {
        "seriesuid": uid,
        "case": case,
        "shape": [grid.matrix, grid.matrix, grid.slices],
        "spacing_mm": [grid.pixel_mm, grid.pixel_mm, grid.slice_mm],
        "thickness_mm": grid.thickness_mm,
        "kernel": protocol.kernel.name,
        "kernel_cutoff_per_mm": protocol.kernel.cutoff_per_mm,
        "smoothing_mm": protocol.kernel.smoothing_mm,
        "noise_hu": protocol.noise_hu,
        "padding_hu": protocol.padding_hu,
        "contrast_hu": round(scene.patient.contrast_hu, 1),
        "lung_hu": round(scene.patient.lung_hu, 1),
        "disease": {name: round(value, 3) for name, value in vars(disease).items()},
        "nodules": [moved(nodule) for nodule in scene.nodules],
        "lookalikes": [moved(finding) for finding in scene.lookalikes],
    }
