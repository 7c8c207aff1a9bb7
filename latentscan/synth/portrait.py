"""The portrait: painting layers from the back to the front, and the camera that takes the picture."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from latentscan.synth import expression, hair, head, wardrobe
from latentscan.synth.canvas import HEIGHT, WIDTH, Plane, clamp, soft
from latentscan.synth.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from latentscan.synth.parameters import Face

_GRID = 4  # the background's colours are given on a grid of so many rows and columns


def background(scene: Scene) -> None:
    """Paint an unsharp room: a smooth field of colours, sometimes with upright shapes."""
    numbers = np.array(scene.face.style.backdrop, dtype=np.float32)
    base, spread = 0.12 + 0.75 * numbers[:3].mean(), 0.35 * numbers[3]
    tone = base + 0.18 * (numbers[4:7] - 0.5)
    field = tone[:, np.newaxis, np.newaxis] + spread * (numbers[8:24].reshape(_GRID, _GRID) - 0.5)
    field = field + 0.12 * (numbers[:3, np.newaxis, np.newaxis] - 0.5) * (
        numbers[8:24].reshape(_GRID, _GRID).T - 0.3
    )
    rows, columns = _blend_weights()
    np.matmul(rows @ field.astype(np.float32), columns, out=scene.canvas.rgb)
    structure = scene.face.style.structure
    if structure > 0.55:
        x = np.arange(WIDTH, dtype=np.float32)
        light = np.ones(WIDTH, dtype=np.float32)
        for place, width, brightness in numbers[6:15].reshape(3, 3).tolist():
            light += soft(8.0 + 26.0 * width - np.abs(x - WIDTH * place), 10.0) * (
                0.9 * (brightness - 0.5) * structure
            )
        scene.canvas.rgb *= light


@cache
def _blend_weights() -> tuple[Plane, Plane]:
    """Return the smooth weights (HEIGHT, grid) and (grid, WIDTH) of the background's grid points."""

    def weights(length: int) -> NDArray[np.float32]:
        places = np.linspace(0.0, _GRID - 1.0, length)[:, np.newaxis]
        bells = np.exp(-1.6 * (places - np.arange(_GRID)) ** 2)
        bells /= bells.sum(axis=1, keepdims=True)
        return np.asarray(bells, dtype=np.float32)

    return weights(HEIGHT), weights(WIDTH).T.copy()


LAYERS: tuple[Callable[[Scene], None], ...] = (
    background,
    hair.hair_behind,
    head.neck,
    wardrobe.clothes,
    wardrobe.necklace,
    head.ears,
    head.head,
    head.wrinkles,
    expression.eyes,
    expression.mouth,
    hair.beard,
    expression.brows,
    hair.sideburns,
    hair.hair_front,
    wardrobe.earrings,
    wardrobe.eyeglasses,
    wardrobe.hat,
)


def paint(face: Face) -> NDArray[np.uint8]:
    """Paint a face as an RGB picture (218, 178, 3)."""
    return np.asarray(photograph(face))[:, :, :3]


def photograph(face: Face) -> Image.Image:
    """Paint a face as an image of mode RGBX, which Pillow encodes without another copy."""
    scene = Scene(face)
    for layer in LAYERS:
        layer(scene)
    return _expose(scene)


def _expose(scene: Scene) -> Image.Image:
    """Return the picture that the camera takes: exposure, colour balance, noise, and blur out of focus."""
    camera, rgb = scene.face.camera, scene.canvas.rgb
    noise = camera.noise * scene.grain((slice(0, HEIGHT), slice(0, WIDTH)))
    noise += 110.0 * (1.0 - camera.contrast)
    gain = 255.0 * camera.gain * camera.contrast
    pixels = np.zeros((HEIGHT, WIDTH), dtype="<i4")
    for channel, warmth in enumerate((camera.warmth, 0.0, -camera.warmth)):
        levels = rgb[channel] * (gain * (1.0 + warmth))
        levels += noise
        pixels |= clamp(levels, 0.0, 255.0).astype(np.int32) << 8 * channel
    picture = Image.frombuffer("RGBX", (WIDTH, HEIGHT), pixels, "raw", "RGBX", 0, 1)
    return picture.filter(ImageFilter.BoxBlur(camera.blur)) if scene.face.has("Blurry") else picture
