"""Simulated scanners: how the pictures of each centre look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scanner:
    """A simulated scanner, with lengths in mm and levels in dB."""

    dynamic_range: float
    level: float  # grey, 0 to 1, of tissue at 0 dB
    axial: float  # standard deviation of the point spread along the beam
    lateral: float  # and across it, at the focus
    widening: float  # how many times wider far from the focus
    smoothing: float  # of the detected echoes, pixels along the beam, twice that across
    spacing: tuple[float, float]  # range of mm per pixel
    curved: bool


SCANNERS = {
    "A": Scanner(60, 0.50, 0.09, 0.20, 2.2, 0.7, (0.06, 0.08), False),
    "B": Scanner(54, 0.56, 0.12, 0.30, 2.5, 0.4, (0.07, 0.10), False),
    "C": Scanner(66, 0.46, 0.10, 0.22, 2.0, 1.1, (0.06, 0.09), False),
    "D": Scanner(57, 0.51, 0.14, 0.38, 2.6, 0.6, (0.09, 0.12), True),
    "E": Scanner(48, 0.46, 0.11, 0.26, 3.0, 0.5, (0.08, 0.11), False),
}
