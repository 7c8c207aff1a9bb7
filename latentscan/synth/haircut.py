"""The shape of the hair: its outside, the opening for the face, and the flow of its strands."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.canvas import LEVELS, Outline, clamp, levels, ramp, strands

if TYPE_CHECKING:
    from latentscan.synth.canvas import Plane
    from latentscan.synth.scene import Scene

_LONG = 0.3  # hair of this length hides the ears
_WIDEST = -8.0  # the v at which the hair of the skull is widest


class Haircut:
    """The hair of one scene: `patch` is its window, `from_edge` the distance of each pixel to its outside.

    `across` and `below_crown` are the coordinates (columns,) and (rows, 1) through the middle of the window:
    light and strands vary too slowly to show that they leave out the roll of the head.
    """

    def __init__(self, scene: Scene) -> None:
        face, style = scene.face, scene.face.style
        self._scene = scene
        self.long = style.hair_length > _LONG
        self.bangs = face.has("Bangs")
        volume = 6.0 + 7.0 * style.hair_volume + 3.0 * face.has("Wavy_Hair") - 2.5 * face.has("Straight_Hair")
        self.centre = scene.place(0.0, 0.0, -4.0)[0]
        self._top = scene.crown - 0.8 * volume
        self._end = 34.0 + 100.0 * (style.hair_length - _LONG) if self.long else 26.0
        self.width = scene.skull_width + (0.75 if self.long else 0.45) * volume
        middle = 0.5 * (self._top + self._end)
        self.patch = scene.canvas.patch(self.centre, middle, self.width + 6.0, self._end - middle + 4.0)
        self.level = levels(self.patch.v + middle)
        self.from_edge = self._outside().distance(self.patch.u, self.level)
        rows, columns = self.patch.u.shape
        self.across: Plane = self.patch.u[rows // 2]
        self.below_crown: Plane = self.patch.v[:, columns // 2, np.newaxis] + (middle - scene.crown)

    def _outside(self) -> Outline:
        up = ramp(LEVELS, _WIDEST, self._top)
        down = ramp(LEVELS, _WIDEST, self._end)
        half = self.width * np.sqrt(1.0 - up**2.5) + down * (4.0 if self.long else -9.0)
        if self._scene.face.has("Wavy_Hair"):
            waves = np.sin(LEVELS * 0.21 + 6.28 * self._scene.face.style.lock_phase)
            half += 2.6 * waves * ramp(LEVELS, -21.0, 39.0)
        half *= np.sqrt(1.0 - ramp(LEVELS, self._end - 24.0, self._end) ** 4)
        beyond = np.maximum(self._top - LEVELS, LEVELS - self._end)
        return Outline(np.where(beyond > 0.0, -beyond, half).astype(np.float32))

    def from_face(self) -> Plane:
        """Return the distance of each pixel to the edge of the opening for the face, inside positive."""
        scene, face = self._scene, self._scene.face
        line = (
            (-24.0 if face.has("Male") else -18.0)
            if self.bangs
            else -54.0
            if face.has("Receding_Hairline")
            else -44.5
        )
        top = scene.place(0.0, line, 32.0)[1]
        temple = scene.skull_width - (2.5 if self.long else 3.5)
        up = ramp(LEVELS, -4.0, top)
        half = temple * np.sqrt(1.0 - up ** (3.6 if self.bangs else 2.7 if face.has("Male") else 2.1))
        if self.long:
            half -= 9.0 * ramp(LEVELS, 30.0, 75.0)
        else:
            half += 26.0 * ramp(LEVELS, -8.0, 4.0)
        half_width = np.where(top > LEVELS, LEVELS - top, half).astype(np.float32)
        apex = 0.0 if self.bangs else 9.0 * face.style.parting
        front = scene.place(0.0, 0.0, 16.0)[0] - self.centre
        return Outline(half_width, front + apex * up**1.5).distance(self.patch.u, self.level)

    @property
    def parting(self) -> float:
        """Where the hair parts, from the middle of the window."""
        return self._scene.place(0.0, -50.0, 20.0)[0] + 12.0 * self._scene.face.style.parting - self.centre

    def texture(self) -> Plane:
        """Return the strands' brightness -1..1: parted hair bends around the face, other falls from above."""
        face, patch = self._scene.face, self.patch
        from_parting = patch.u - self.parting
        if self.long and not self.bangs:
            over = clamp(self.below_crown + self._scene.crown, -200.0, 0.0)
            across = np.sqrt(patch.u * patch.u + 0.8 * over * over)
            across += clamp(90.0 * from_parting, 0.0, 90.0)  # the two sides have other strands
        else:
            across = from_parting * (9.0 / np.sqrt(clamp(self.below_crown + 10.0, 4.0, 400.0)))
        if not face.has("Straight_Hair"):
            curl = 3.4 if face.has("Wavy_Hair") else 0.9
            across += curl * np.sin(self.below_crown * 0.17 + patch.u * 0.06 + 6.28 * face.style.lock_phase)
        texture = strands(across, face.style.lock_phase)
        texture *= clamp(0.25 + self.below_crown * 0.03, 0.25, 1.0)  # above, strands are finer than pixels
        return texture


@lru_cache(maxsize=1)
def haircut(scene: Scene) -> Haircut | None:
    """Return the shape of the hair; None on a bald head. Several layers of one scene ask for it."""
    return None if scene.face.has("Bald") else Haircut(scene)


def parted_line(cut: Haircut) -> Plane:
    """Return the darkness 0..1 of the line along which long hair parts."""
    line: Plane = np.maximum(1.0 - np.abs(cut.patch.u - cut.parting) * 0.4, 0.0)
    line *= ramp(cut.below_crown, 32.0, 19.5)
    return line
