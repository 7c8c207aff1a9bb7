"""The canvas: pixels in head coordinates, soft masks, outlines, and textures shared by all portraits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import cos, sin
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.synth.parameters import Pose

WIDTH, HEIGHT = 178, 218
EYES_X, EYES_Y = 88.5, 111.0  # between the eyes of an aligned CelebA image
TOP, BOTTOM, STEPS = -150.0, 160.0, 2  # the v that an outline's table spans, and its entries a pixel
GRAIN_PLACES = 64  # along each side, where a piece of grain can begin
LEVELS = np.arange(TOP, BOTTOM, 1.0 / STEPS, dtype=np.float32)

Plane: TypeAlias = NDArray[np.floating[Any]]  # float32 in fact, which the type of array * float does not say
Colour: TypeAlias = tuple[float, float, float]
Box: TypeAlias = tuple[slice, slice]
Hill: TypeAlias = tuple[float, float, float, float]  # u, v and the radii along them


def soft(distance: Plane, width: float = 1.0) -> Plane:
    """Return the coverage 0..1 at a signed distance, inside positive, over an edge `width` pixels wide."""
    mask = distance * (1.0 / width)
    mask += 0.5
    return clamp(mask)


def clamp(values: Plane, low: float = 0.0, high: float = 1.0) -> Plane:
    """Limit values in place."""
    return values.clip(low, high, out=values)


def ramp(values: Plane, start: float, end: float) -> Plane:
    """Return 0 at `start` and before it, 1 at `end` and beyond it, and a straight rise between them."""
    return clamp((values - start) * (1.0 / (end - start)))


def blob(u: Plane, v: Plane, radius_u: float, radius_v: float) -> Plane:
    """Return a smooth hill: 1 at the origin, 0 outside the ellipse of these radii."""
    u, v = u * (1.0 / radius_u), v * (1.0 / radius_v)
    u *= u
    v *= v
    u += v
    hill = clamp(1.0 - u)
    hill *= hill
    return hill


def ellipse(u: Plane, v: Plane, radius_u: float, radius_v: float) -> Plane:
    """Return the coverage of an ellipse around the origin, its edge about a pixel wide."""
    u, v = u * (1.0 / radius_u), v * (1.0 / radius_v)
    return soft((1.0 - u * u - v * v) * (0.5 * min(radius_u, radius_v)))


def levels(v: Plane) -> NDArray[np.intp]:
    """Return the entries of an outline's table for pixels at these v."""
    return _entries((v - TOP) * STEPS)


def _entries(places: Plane) -> NDArray[np.intp]:
    """Truncate to indices; the way by 32 bits is twice as fast."""
    return places.astype(np.int32).astype(np.intp)


def _at(table: Plane, entries: NDArray[np.intp]) -> Plane:
    """Look up entries; to wrap around, which no outline needs, is faster than to raise."""
    return table.take(entries, mode="wrap")


class Outline:
    """A closed outline as a table over v: centre line, and half width in pixels, negative beyond its ends."""

    def __init__(self, half_width: Plane, centre: Plane | None = None) -> None:
        slope = np.zeros_like(half_width)
        np.subtract(half_width[2:], half_width[:-2], out=slope[1:-1])
        slope *= 0.5 * STEPS
        clamp(slope, -6.0, 6.0)  # an end cut straight is no edge to lean on
        self.half_width = half_width
        self._centre = centre
        self._scale = 1.0 / np.sqrt(1.0 + slope * slope)

    def distance(self, u: Plane, level: NDArray[np.intp]) -> Plane:
        """Return the signed distance of pixels to the outline, inside positive."""
        distance = _at(self.half_width, level)
        distance -= np.abs(u if self._centre is None else u - _at(self._centre, level))
        distance *= _at(self._scale, level)
        return distance

    def distance_and_place(self, u: Plane, level: NDArray[np.intp]) -> tuple[Plane, Plane]:
        """Return the signed distance, and the place between the centre line 0 and the outline 1."""
        half_width = _at(self.half_width, level)
        across = np.abs(u if self._centre is None else u - _at(self._centre, level))
        distance = half_width - across
        distance *= _at(self._scale, level)
        across /= np.maximum(half_width, 1.0, out=half_width)
        return distance, across


@dataclass(frozen=True)
class Patch:
    """A window of the canvas: views of its pixels, with coordinates around the point it was cut for."""

    box: Box
    u: Plane
    v: Plane
    rgb: Plane

    def blend(self, mask: Plane, colour: Colour | Plane) -> None:
        """Cover with a colour, opaque where the mask is 1."""
        over = np.subtract(planes(colour), self.rgb)
        over *= mask
        np.add(self.rgb, over, out=self.rgb)

    def tint(self, mask: Plane, colour: Colour) -> None:
        """Multiply by a colour where the mask is 1, which keeps the light and shade beneath."""
        red, green, blue = colour
        over = mask * planes((red - 1.0, green - 1.0, blue - 1.0))
        over += 1.0
        np.multiply(self.rgb, over, out=self.rgb)

    def lighten(self, amount: Plane) -> None:
        """Add white light."""
        np.add(self.rgb, amount, out=self.rgb)


@dataclass(frozen=True)
class Patches(Patch):
    """Two windows at once: copies (2, 3, rows, columns) of their pixels; `u`, `v` (2, 1, rows, columns)."""

    other_box: Box


def planes(colour: Colour | Plane) -> Plane:
    """Return a colour the shape that broadcasts over (3, height, width)."""
    if isinstance(colour, tuple):
        return np.array(colour, dtype=np.float32).reshape(3, 1, 1)
    return colour


def combine(shares: Plane, layers: Plane) -> Plane:
    """Sum planes (n, rows, columns) in shares (kinds, n) to planes (kinds, rows, columns)."""
    sums: Plane = shares @ layers.reshape(len(layers), -1)
    return sums.reshape(-1, *layers.shape[1:])


def _span(start: float, stop: float, end: int) -> slice:
    first = min(max(0, int(start)), end)
    return slice(first, min(max(first, int(stop) + 2), end))


class Canvas:
    """A picture (3, height, width) of values 0..1, and the head coordinates (u, v) of its pixels.

    The origin of (u, v) lies between the eyes, v points to the chin, and 39 units are CelebA's eye distance.
    """

    def __init__(self, pose: Pose) -> None:
        self.rgb = np.empty((3, HEIGHT, WIDTH), dtype=np.float32)
        self._x0, self._y0 = EYES_X + pose.shift_x, EYES_Y + pose.shift_y
        self._cos, self._sin = pose.scale * cos(pose.roll), pose.scale * sin(pose.roll)
        self.x = np.arange(WIDTH, dtype=np.float32) - self._x0
        self.y = (np.arange(HEIGHT, dtype=np.float32) - self._y0)[:, np.newaxis]
        c, s = cos(pose.roll) / pose.scale, sin(pose.roll) / pose.scale
        self._u_of_x, self._u_of_y = self.x * c, self.y * s
        self._v_of_x, self._v_of_y = self.x * -s, self.y * c

    def box(self, u: float, v: float, half_width: float, half_height: float) -> Box:
        """Return the slices of the window around a point that holds the box of these half sizes."""
        x, y = self._pixel(u, v)
        tilt = abs(self._sin)
        dx, dy = half_width * self._cos + half_height * tilt, half_height * self._cos + half_width * tilt
        return _span(y - dy, y + dy, HEIGHT), _span(x - dx, x + dx, WIDTH)

    def _pixel(self, u: float, v: float) -> tuple[float, float]:
        x, y = u * self._cos - v * self._sin, u * self._sin + v * self._cos
        return x + self._x0, y + self._y0

    def hills(self, box: Box, places: Sequence[Hill], heights: Plane) -> Plane:
        """Sum bell-shaped hills over a window: heights (kinds, hills) give planes (kinds, rows, columns).

        A bell is the product of one over x and one over y, so that all hills together are one matrix product;
        the roll of the head moves them but, being small, does not turn them.
        """
        u, v, radius_u, radius_v = np.array(places, dtype=np.float32).T[:, :, np.newaxis]
        rows, columns = box
        down = (self.y[rows, 0] - (u * self._sin + v * self._cos)) / radius_v
        across = (self.x[columns] - (u * self._cos - v * self._sin)) / radius_u
        down, across = np.exp(-2.4 * down * down), np.exp(-2.4 * across * across)
        weighted = heights[:, :, np.newaxis] * down
        return np.asarray(weighted.transpose(0, 2, 1) @ across)

    def both(self, places: Sequence[tuple[float, float]], half_width: float, half_height: float) -> Patches:
        """Cut equal windows around two points, to paint both sides of a face at the price of one."""
        height, width = int(2.0 * half_height) + 1, int(2.0 * half_width) + 1
        boxes = []
        for u, v in places:
            x, y = self._pixel(u, v)
            top = min(max(0, int(y) - height // 2), HEIGHT - height)
            left = min(max(0, int(x) - width // 2), WIDTH - width)
            boxes.append((slice(top, top + height), slice(left, left + width)))
        first, second = (self.window(box, u, v) for box, (u, v) in zip(boxes, places, strict=True))
        us, vs = np.array(((first.u,), (second.u,))), np.array(((first.v,), (second.v,)))
        return Patches(boxes[0], us, vs, np.array((first.rgb, second.rgb)), boxes[1])

    def paste(self, patches: Patches) -> None:
        """Put what was painted on both windows back."""
        for box, rgb in zip((patches.box, patches.other_box), patches.rgb, strict=True):
            self.rgb[:, box[0], box[1]] = rgb

    def patch(self, u: float, v: float, half_width: float, half_height: float) -> Patch:
        """Cut the window around a point that holds the box of these half sizes."""
        return self.window(self.box(u, v, half_width, half_height), u, v)

    def window(self, box: Box, u: float = 0.0, v: float = 0.0) -> Patch:
        """Cut a window, with coordinates around a point; to compute them is faster than to keep them."""
        rows, columns = box
        us = (self._u_of_x[columns] - u) + self._u_of_y[rows]
        vs = self._v_of_x[columns] + (self._v_of_y[rows] - v)
        return Patch(box, us, vs, self.rgb[:, rows, columns])


@cache
def grain_sheet() -> Plane:
    """Return the film grain, standard normal, that every portrait takes a piece of; it fits a cache."""
    sheet = np.random.Generator(np.random.Philox(key=1)).standard_normal(
        (HEIGHT + GRAIN_PLACES, WIDTH + GRAIN_PLACES), np.float32
    )
    sheet.flags.writeable = False
    return sheet


@cache
def strand_table() -> Plane:
    """Return the brightness (4096,) of hairs side by side, -1..1: five octaves of noise, 8 a pixel."""
    generator = np.random.Generator(np.random.Philox(key=2))
    table = np.zeros(4096, dtype=np.float32)
    for octave, amplitude in enumerate((0.25, 0.3, 0.35, 0.3, 0.25)):
        knots = generator.uniform(-1.0, 1.0, 4096 >> (octave + 2))
        knots[-1] = knots[0]
        places = np.linspace(0.0, len(knots) - 1.0, 4096)
        table += amplitude * np.interp(places, np.arange(len(knots)), knots).astype(np.float32)
    table.flags.writeable = False
    return table


def strands(across: Plane, phase: float = 0.0) -> Plane:
    """Return the brightness -1..1 of hair at a place `across` the strands, pixels."""
    return _at(strand_table(), _entries((across + (512.0 + 500.0 * phase)) * 8.0))
