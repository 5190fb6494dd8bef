"""What makes synthetic chests resemble real ones: noise, disease, look-alikes, the nodules' variety."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from medbundles.samples.chest import atelectasis, hila, pleura
from medbundles.samples.chest.acquisition import acquire, shared_noise
from medbundles.samples.chest.anatomy import Anatomy, build_anatomy
from medbundles.samples.chest.canvas import Canvas
from medbundles.samples.chest.fields import CoarseGrid
from medbundles.samples.chest.grid import Floats, ScanGrid
from medbundles.samples.chest.kernel import Kernel, draw_kernel
from medbundles.samples.chest.motion import blur_heartbeat
from medbundles.samples.chest.nodule_look import draw_look
from medbundles.samples.chest.parenchyma import Disease, draw_disease, parenchyma
from medbundles.samples.chest.patient import Patient, draw_patient
from medbundles.samples.chest.protocol import Protocol
from medbundles.samples.chest.scan import Scan, make_scan
from medbundles.samples.chest.scene import Scene
from medbundles.samples.chest.vessels import grow_lung_vessels
from medbundles.samples.seeding import stream

HEALTHY = Disease(10.0, 10.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0)
PLAIN = Kernel(0.5, 0.0, 0.0)
# They occur by themselves or lie outside the lungs, so they do not count where a network's mistakes are meant.
BYSTANDERS = {"vessel_course", "lymph_node"}


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(0))


@pytest.fixture(scope="module")
def anatomy(patient: Patient) -> Anatomy:
    return build_anatomy(patient, seed=0, case=0, half_field_mm=150)


@pytest.fixture(scope="module")
def grid() -> CoarseGrid:
    return CoarseGrid.covering(np.array([20.0, -60, -110]), np.array([70.0, 40, -20]), 2.4)


@pytest.fixture
def scene(patient: Patient, anatomy: Anatomy) -> Scene:
    few = replace(patient, vessel_ends=60.0)
    trees = grow_lung_vessels(few, anatomy, np.random.default_rng(0))
    grid = ScanGrid(96, 80, 3.1, 3.0, 1, 0, (-147.0, -143.0, -140.0))
    return Scene(few, anatomy, trees, Canvas(grid, np.full(grid.fine_shape, -850, dtype=np.float32)))


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return [make_scan(seed=11, case=case, matrix=64, extent_mm=(120, 200)) for case in range(6)]


def noise_of(
    kernel: Kernel = PLAIN, overlap: int = 0, shoulder: float = 0.0, streaks: float = 0.0, z: float = -100.0
) -> Floats:
    grid = ScanGrid(96, 16, 0.8, 1.0, 1, overlap, (-38.0, -38.0, z))
    protocol = Protocol(grid, kernel, 20.0, shoulder, streaks, None, (0.0, 0.0, 0.0))
    flat = np.zeros(grid.fine_shape, dtype=np.float32)
    return acquire(flat, protocol, np.random.default_rng(0)).astype(np.float32)


def correlation(values: Floats, axis: int) -> float:
    moved = np.moveaxis(values, axis, 0)
    return float(np.corrcoef(moved[1:].ravel(), moved[:-1].ravel())[0, 1])


class TestNoise:
    """What the scanner adds."""

    def test_neighbors_along_z_share_more_noise_the_more_slices_overlap(self) -> None:
        found = [correlation(noise_of(overlap=overlap), 0) for overlap in (0, 1, 2)]
        assert found == sorted(found)
        assert found[2] > found[0] + 0.3

    def test_shared_noise_is_what_neighbors_correlate_by(self) -> None:
        wanted = shared_noise(ScanGrid(96, 16, 0.8, 1.0, 1, 1, (0, 0, 0)))
        assert correlation(noise_of(overlap=1), 0) == pytest.approx(wanted, abs=0.05)

    def test_softer_kernels_make_coarser_noise(self) -> None:
        soft, sharp = (correlation(noise_of(Kernel(cutoff, 0.0, 0.0)), 2) for cutoff in (0.3, 0.9))
        assert soft > sharp + 0.2

    def test_smoothing_makes_noise_coarser_but_leaves_the_resolution(self) -> None:
        smooth = Kernel(0.5, 0.0, 0.8)
        assert correlation(noise_of(smooth), 2) > correlation(noise_of(), 2) + 0.1
        frequency = np.linspace(0, 1, 5, dtype=np.float32)
        np.testing.assert_array_equal(smooth.response(frequency), PLAIN.response(frequency))

    def test_noise_has_the_wanted_deviation_whatever_the_kernel(self) -> None:
        middle = np.s_[:, 36:60, 36:60]
        for kernel in (PLAIN, Kernel(0.9, 0.6, 0.0), Kernel(0.3, 0.0, 0.9)):
            assert noise_of(kernel)[middle].std() == pytest.approx(20, rel=0.15)

    def test_shoulders_add_noise(self) -> None:
        assert noise_of(shoulder=1.0, z=90).std() == pytest.approx(2 * noise_of(z=90).std(), rel=0.02)

    def test_streaks_run_along_x(self) -> None:
        streaked = noise_of(streaks=1.5, z=90)
        assert correlation(streaked, 2) > correlation(streaked, 1) + 0.1

    def test_kernels_are_drawn_from_a_continuum(self) -> None:
        generator = np.random.default_rng(0)
        kernels = [draw_kernel(generator) for _ in range(200)]
        assert len({kernel.cutoff_per_mm for kernel in kernels}) > 190
        assert {kernel.name for kernel in kernels} == {"soft", "standard", "sharp"}


class TestParenchyma:
    """The lungs' own density."""

    def drawn(self, grid: CoarseGrid, anatomy: Anatomy, patient: Patient, **changes: float) -> Floats:
        disease = replace(HEALTHY, **changes)
        return parenchyma(np.random.default_rng(3), grid, anatomy, patient, disease) + np.float32(patient.lung_hu)

    def test_healthy_lung_keeps_its_mean_density(self, grid: CoarseGrid, anatomy: Anatomy, patient: Patient) -> None:
        assert self.drawn(grid, anatomy, patient).mean() == pytest.approx(patient.lung_hu, abs=3)

    def test_emphysema_lowers_density_down_to_nearly_air(
        self, grid: CoarseGrid, anatomy: Anatomy, patient: Patient
    ) -> None:
        healthy, ill = (self.drawn(grid, anatomy, patient, emphysema=share) for share in (0.0, 0.3))
        assert ill.mean() < healthy.mean() - 8
        assert np.mean(ill < -970) > np.mean(healthy < -970) + 0.03
        assert ill.min() > -1000

    def test_blebs_lie_below_the_pleura(self, grid: CoarseGrid, anatomy: Anatomy, patient: Patient) -> None:
        holes = self.drawn(grid, anatomy, patient, paraseptal=0.5) < -970
        z, y, x = (grid.axis(axis) for axis in range(3))
        where = np.argwhere(holes)
        points = np.stack([x[where[:, 2]], y[where[:, 1]], z[where[:, 0]]], axis=1)
        index = np.rint((points[:, ::-1] - np.array(anatomy.coarse.first_mm)) / anatomy.coarse.step_mm).astype(int)
        assert np.median(np.abs(anatomy.lung[tuple(index.T)])) < 10

    def test_haze_raises_density_without_reaching_soft_tissue(
        self, grid: CoarseGrid, anatomy: Anatomy, patient: Patient
    ) -> None:
        healthy, hazy = (self.drawn(grid, anatomy, patient, haze_hu=height) for height in (0.0, 250.0))
        assert hazy.mean() > healthy.mean()
        assert hazy.max() < -400

    def test_some_patients_are_ill_and_some_are_not(self) -> None:
        drawn = [draw_disease(np.random.default_rng(seed)) for seed in range(60)]
        assert 0.15 < np.mean([disease.emphysema > 0 for disease in drawn]) < 0.6


class TestLookAlikes:
    """What is drawn beside the nodules."""

    def test_three_findings_in_ten_or_more_are_no_nodules(self, scans: list[Scan]) -> None:
        nodules = sum(len(scan.record["nodules"]) for scan in scans)
        others = [item for scan in scans for item in scan.record["lookalikes"] if item["type"] not in BYSTANDERS]
        assert nodules > 0
        assert len(others) / (nodules + len(others)) >= 0.3

    def test_they_are_of_many_kinds(self, scans: list[Scan]) -> None:
        kinds = Counter(item["type"] for scan in scans for item in scan.record["lookalikes"])
        assert len(kinds) >= 8

    def test_nothing_solid_and_round_of_a_nodules_size_goes_unlabeled(self, scans: list[Scan]) -> None:
        granulomas = [item for scan in scans for item in scan.record["lookalikes"] if item["type"] == "granuloma"]
        assert all(item["size_mm"] <= 3 for item in granulomas)

    def test_they_keep_off_the_nodules(self, scans: list[Scan]) -> None:
        for scan in scans:
            for nodule in scan.record["nodules"]:
                for item in scan.record["lookalikes"]:
                    gap = np.linalg.norm(np.subtract(nodule["center_lps_mm"], item["center_lps_mm"]))
                    assert item["type"] == "lymph_node" or gap > nodule["diameter_mm"] / 2

    def test_hilar_nodes_lie_mostly_outside_of_the_lung(self, scene: Scene) -> None:
        for number in range(6):
            hila.add_hilar_nodes(scene, np.random.default_rng(number))
        centers = np.array([item["center_mm"] for item in scene.lookalikes])
        assert len(centers)
        assert np.all(scene.depth(centers) < 0)

    def test_vessel_courses_have_the_density_of_blood(self, scene: Scene) -> None:
        hila.add_vessel_courses(scene, np.random.default_rng(1))
        assert scene.canvas.hu.max() == pytest.approx(scene.patient.blood_hu, abs=1)

    @pytest.mark.parametrize(
        ("add", "low", "high"),
        [
            (pleura.add_plaques, 0, 510),
            (pleura.add_osteophytes, 60, 710),
            (atelectasis.add_bands, -600, 40),
            (atelectasis.add_dependent_plates, -600, 30),
        ],
    )
    def test_each_has_its_density(self, scene: Scene, add: object, low: float, high: float) -> None:
        assert callable(add)
        for number in range(12):
            add(scene, np.random.default_rng(number))
        assert scene.lookalikes
        assert low < scene.canvas.hu.max() < high

    def test_round_atelectasis_is_larger_than_any_nodule(self, scene: Scene) -> None:
        for number in range(80):
            atelectasis.add_round_atelectasis(scene, np.random.default_rng(number))
        assert scene.lookalikes
        assert min(item["size_mm"] for item in scene.lookalikes) > 30


def test_the_heartbeat_blurs_near_the_heart_only(scene: Scene) -> None:
    scene.canvas.hu[:] = np.random.default_rng(0).normal(0, 100, scene.canvas.hu.shape)
    before = scene.canvas.hu.copy()
    for number in range(4):
        blur_heartbeat(scene, np.random.default_rng(number))
    changed = np.abs(scene.canvas.hu - before) > 1
    assert changed.any()
    assert not changed[:, :4].any()


class TestNodules:
    """How nodules look."""

    def test_every_appearance_occurs(self, patient: Patient) -> None:
        generator = np.random.default_rng(0)
        looks = [draw_look(generator, "solid", 16.0, patient) for _ in range(200)]
        assert {look.calcified for look in looks} == {"none", "center", "all"}
        assert {look.spiculation for look in looks} == {0, 1, 2, 3}
        assert {look.cavitary for look in looks} == {look.tag for look in looks} == {True, False}

    def test_small_nodules_have_neither_cavities_nor_spicules(self, patient: Patient) -> None:
        looks = [draw_look(np.random.default_rng(seed), "solid", 5.0, patient) for seed in range(50)]
        assert not any(look.cavitary or look.spiculation for look in looks)

    @pytest.mark.parametrize("lung_hu", [-945.0, -825.0])
    def test_ground_glass_stands_out_from_the_lung(self, patient: Patient, lung_hu: float) -> None:
        looks = [
            draw_look(np.random.default_rng(seed), "ground_glass", 9.0, replace(patient, lung_hu=lung_hu))
            for seed in range(50)
        ]
        assert all(look.hu >= lung_hu + 190 and look.hu <= -380 for look in looks)


def test_the_same_seed_gives_the_same_scan(scans: list[Scan]) -> None:
    again = make_scan(seed=11, case=2, matrix=64, extent_mm=(120, 200))
    np.testing.assert_array_equal(again.array, scans[2].array)
    assert again.record == scans[2].record


def test_patients_differ_widely() -> None:
    drawn = [draw_patient(stream(0, case, "patient")) for case in range(60)]
    assert np.ptp([patient.lung_hu for patient in drawn]) > 90
    assert np.ptp([patient.murray for patient in drawn]) > 0.4
