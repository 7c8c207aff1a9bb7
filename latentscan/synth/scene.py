"""The scene: one face's geometry, colours and light, worked out once for all painting layers."""

from __future__ import annotations

from functools import cached_property
from math import cos, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.canvas import (
    GRAIN_PLACES,
    LEVELS,
    Canvas,
    Colour,
    Outline,
    Plane,
    grain_sheet,
    ramp,
)
from latentscan.synth.parameters import HAIR_COLOURS

if TYPE_CHECKING:
    from latentscan.synth.canvas import Box
    from latentscan.synth.parameters import Face

SIDES = (-1.0, 1.0)  # of the picture, left and right
BOTH_SIDES = np.array(SIDES, dtype=np.float32).reshape(2, 1, 1, 1)  # in the windows of Canvas.both
EYE_Z = 33.0  # how far the eyes lie before the middle of the head, which is 0

_SKINS: tuple[Colour, ...] = (
    (0.92, 0.74, 0.63),
    (0.86, 0.68, 0.55),
    (0.74, 0.52, 0.39),
    (0.50, 0.33, 0.24),
    (0.33, 0.21, 0.16),
)
_PALE: Colour = (0.97, 0.87, 0.81)
_HAIR: dict[str, tuple[Colour, Colour]] = {  # from the darkest to the lightest
    "Black_Hair": ((0.05, 0.045, 0.05), (0.11, 0.09, 0.085)),
    "Brown_Hair": ((0.22, 0.13, 0.08), (0.40, 0.26, 0.16)),
    "Blond_Hair": ((0.66, 0.50, 0.28), (0.93, 0.80, 0.55)),
    "Gray_Hair": ((0.45, 0.45, 0.46), (0.83, 0.83, 0.83)),
}
_OTHER_HAIR: tuple[Colour, ...] = (
    (0.14, 0.10, 0.08),
    (0.24, 0.16, 0.11),
    (0.36, 0.20, 0.12),
    (0.50, 0.37, 0.24),
    (0.58, 0.28, 0.13),
)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour at `share` 0..1 of the way from the first to the second."""
    (r, g, b), rest = second, 1.0 - share
    return first[0] * rest + r * share, first[1] * rest + g * share, first[2] * rest + b * share


def along(colours: tuple[Colour, ...], place: float) -> Colour:
    """Return the colour at `place` 0..1 of a scale of colours."""
    step = min(int(place * (len(colours) - 1)), len(colours) - 2)
    return mix(colours[step], colours[step + 1], place * (len(colours) - 1) - step)


class Scene:
    """A face before the camera: what the painting layers share."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.canvas = Canvas(face.pose)
        pose = face.pose
        self._turn = (cos(pose.yaw), sin(pose.yaw), cos(pose.pitch), sin(pose.pitch))
        self._origin = (0.0, 0.0)
        self._origin = self.place(0.0, 0.0, EYE_Z)
        norm = sqrt(face.light.x**2 + face.light.y**2 + 1.0)
        self.lamp = (face.light.x / norm, face.light.y / norm, 1.0 / norm)
        self.lamp_colour: Colour = (1.0 + face.light.warmth, 1.0, 1.0 - face.light.warmth)

    def place(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return the (u, v) of a point of the head: x to the right, y down, z to the viewer."""
        cos_yaw, sin_yaw, cos_pitch, sin_pitch = self._turn
        u0, v0 = self._origin
        depth = z * cos_yaw - x * sin_yaw
        return x * cos_yaw + z * sin_yaw - u0, y * cos_pitch + depth * sin_pitch - v0

    def eye(self, side: float) -> tuple[float, float]:
        """Return the (u, v) of the middle of an eye."""
        shape = self.face.shape
        return self.place(19.5 * shape.eye_spacing * side, 0.9 * shape.asymmetry * side, EYE_Z)

    def mouth(self) -> tuple[float, float]:
        """Return the (u, v) of the middle of the mouth."""
        shape = self.face.shape
        return self.place(0.6 * shape.asymmetry, (43.0 + shape.mouth_height) * shape.face_length, 44.0)

    @property
    def mouth_width(self) -> float:
        """The half width of the mouth."""
        shape = self.face.shape
        return 16.5 * shape.mouth_width * (1.0 + 0.22 * shape.smile * self.face.has("Smiling"))

    def nose(self) -> tuple[float, float]:
        """Return the (u, v) of the tip of the nose."""
        shape = self.face.shape
        depth = 52.0 + 4.0 * (shape.nose_depth - 1.0) + 3.0 * self.face.has("Pointy_Nose")
        return self.place(0.0, 25.5 * shape.nose_length * shape.face_length, depth)

    def nostrils(self) -> tuple[float, float]:
        """Return the (u, v) of the middle of the underside of the nose."""
        shape = self.face.shape
        u, v = self.place(0.0, 32.0 * shape.nose_length * shape.face_length, 47.0)
        return u, max(v, self.nose()[1] + 3.0)

    @cached_property
    def nose_width(self) -> float:
        """The width of the nose against the average."""
        face = self.face
        width = face.shape.nose_width * (1.32 if face.has("Big_Nose") else 1.0)
        return width * (0.82 if face.has("Pointy_Nose") else 1.0) * (1.06 if face.has("Male") else 1.0)

    def foreshortening(self, side: float) -> float:
        """Return how much narrower a turn of the head makes a side of the face; 1 straight ahead."""
        yaw = self.face.pose.yaw
        return cos(yaw + 0.45 * side) / cos(0.45)

    def lit(self, colour: Colour, amount: float = 1.0) -> Colour:
        """Return a matt colour as it looks under this light, `amount` of the lamp reaching it."""
        shade = self.face.light.ambient + self.face.light.strength * amount * 0.85
        lamp = self.lamp_colour
        return colour[0] * shade * lamp[0], colour[1] * shade * lamp[1], colour[2] * shade * lamp[2]

    def grain(self, box: Box, salt: int = 0) -> Plane:
        """Return this face's own piece of film grain, standard normal, for a window of the canvas."""
        place = self.face.camera.grain_seed + 7919 * salt
        top, left = place % GRAIN_PLACES, place // GRAIN_PLACES % GRAIN_PLACES
        rows, columns = box
        return grain_sheet()[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]

    @cached_property
    def skin(self) -> Colour:
        """The colour of the skin in white light."""
        colour = along(_SKINS, self.face.style.skin)
        return mix(colour, _PALE, 0.75) if self.face.has("Pale_Skin") else colour

    @cached_property
    def hair(self) -> Colour:
        """The colour of the hair in white light."""
        tone = self.face.style.hair_tone
        for name in HAIR_COLOURS:
            if self.face.has(name):
                return mix(*_HAIR[name], tone)
        return along(_OTHER_HAIR, tone)

    @cached_property
    def beard(self) -> Colour:
        """The colour of brows and beard: darker than the hair, except where it is black."""
        return mix(self.hair, (0.16, 0.10, 0.07), 0.2 if self.face.has("Gray_Hair") else 0.5)

    @cached_property
    def crown(self) -> float:
        """The v of the top of the skull."""
        return self.place(0.0, -66.0, 0.0)[1]

    @cached_property
    def chin(self) -> float:
        """The v of the tip of the chin."""
        return self.place(0.0, 70.0 * self.face.shape.face_length, 34.0)[1]

    @cached_property
    def skull_width(self) -> float:
        """The largest half width of the head."""
        face = self.face
        width = 41.0 * face.shape.face_width
        return width * (1.07 if face.has("Chubby") else 1.0) * (0.95 if face.has("Oval_Face") else 1.0)

    @cached_property
    def head(self) -> Outline:
        """The outline of skull and jaw."""
        face, widest = self.face, -6.0
        corner = 2.9 + 0.3 * face.shape.jaw + 0.5 * face.has("Male") + 0.9 * face.has("Chubby")
        corner = max(2.1, corner - 0.9 * face.has("Oval_Face"))
        chin = 0.62 + 0.06 * face.shape.chin - 0.06 * face.has("Male")
        up = ramp(LEVELS, widest, self.crown)
        down = ramp(LEVELS, widest, self.chin)
        half = self.skull_width * np.sqrt(1.0 - up**2.4) * (1.0 - down**corner) ** chin
        beyond = np.maximum(self.crown - LEVELS, LEVELS - self.chin)
        back, front = self.place(0.0, 0.0, 2.0)[0], self.place(0.0, 66.0, 30.0)[0]
        half_width = np.where(beyond > 0.0, -beyond, half).astype(np.float32)
        return Outline(half_width, back + (front - back) * down * down * (3.0 - 2.0 * down))

    @cached_property
    def head_box(self) -> Box:
        """The window that holds the head without ears."""
        middle = 0.5 * (self.crown + self.chin)
        return self.canvas.box(
            self.place(0.0, 0.0, 2.0)[0], middle, self.skull_width + 4.0, self.chin - middle + 3.0
        )
