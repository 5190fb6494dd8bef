"""Who is scanned: sizes, densities and contrast agent, drawn once for a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Volume of one lung of a body of scale 1.
LUNG_LITERS = 1.8


@dataclass(frozen=True)
class Patient:
    """A patient's proportions in mm and densities in HU.

    Attributes:
        half_width: largest half width of the chest cavity.
        half_depth: largest half depth of the chest cavity.
        apex: height of the lungs' tops above the carina.
        dome: height of the right diaphragm's dome (negative: below the carina).
        wall: thickness of the chest wall at the side.
        muscle: thickness of the chest wall's muscle layer.
        mediastinum: half width of the mediastinum between the lungs at the back of the sternum to the spine.
        heart: the heart's size, 1 is the mean.
        lung_hu: density of the parenchyma half way between front and back.
        gradient_hu: how much denser the parenchyma is at the back than at the front.
        dependent_hu: extra density of a dependent layer at the back; 0 for none.
        contrast_hu: what contrast agent adds to blood; 0 for none.
        vessel_ends: number of vessel ends in a liter of lung for each of arteries and veins.
        end_radius: radius of a vessel's last visible branch.
        murray: exponent of Murray's law; large values keep far vessels thick.
        fissure_mm: thickness of the fissures; 0.2 is thin, 1 clearly thickened.
        bronchial_wall: thickness of the bronchi's walls as a share of their inner radius.
        rib_bumps: how far the ribs bulge into the lungs in mm.
    """

    half_width: float
    half_depth: float
    apex: float
    dome: float
    wall: float
    muscle: float
    mediastinum: float
    heart: float
    lung_hu: float
    gradient_hu: float
    dependent_hu: float
    contrast_hu: float
    vessel_ends: float
    end_radius: float
    murray: float
    fissure_mm: float
    bronchial_wall: float
    rib_bumps: float

    @property
    def blood_hu(self) -> float:
        """Density of blood in HU."""
        return 42.0 + self.contrast_hu


def draw_patient(generator: np.random.Generator) -> Patient:
    """Draw a patient; all sizes vary together with one body scale and a little by themselves."""
    scale = generator.uniform(0.87, 1.2)
    ends, murray = generator.uniform(1500, 4200), generator.uniform(2.3, 2.85)
    # Trees of all kinds are about equally thick at the hilum; how fast they thin out varies.
    end_radius = scale * generator.uniform(4.5, 9.0) / (LUNG_LITERS * scale**3 * ends) ** (1 / murray)
    return Patient(
        half_width=scale * generator.uniform(118, 132),
        half_depth=scale * generator.uniform(76, 88),
        apex=scale * generator.uniform(82, 96),
        dome=scale * generator.uniform(-125, -85),
        wall=generator.uniform(26, 48),
        muscle=generator.uniform(14, 20),
        mediastinum=scale * generator.uniform(25, 33),
        heart=scale * generator.uniform(0.85, 1.12),
        lung_hu=generator.uniform(-945, -825),
        gradient_hu=generator.uniform(15, 80),
        dependent_hu=generator.uniform(40, 220) if generator.random() < 0.5 else 0.0,
        contrast_hu=generator.uniform(60, 420) if generator.random() < 0.5 else 0.0,
        vessel_ends=ends,
        end_radius=end_radius,
        murray=murray,
        fissure_mm=float(np.exp(generator.uniform(np.log(0.12), np.log(0.9)))),
        bronchial_wall=generator.uniform(0.10, 0.34),
        rib_bumps=generator.uniform(0, 3.0),
    )
