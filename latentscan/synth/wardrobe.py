"""What people wear: clothes, neckties, necklaces, earrings, eyeglasses and hats."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.canvas import LEVELS, Outline, blob, clamp, ellipse, levels, planes, ramp, soft
from latentscan.synth.scene import SIDES, mix

if TYPE_CHECKING:
    from latentscan.synth.canvas import Colour, Patch, Plane
    from latentscan.synth.scene import Scene

_GOLD: Colour = (0.85, 0.68, 0.32)
_COLLAR_Y = 88.0  # below the eyes, pixels: where neck and shoulders meet


def clothes(scene: Scene) -> None:
    """Paint the shoulders: a jumper, a wide or pointed neckline, or shirt and jacket."""
    face, style, canvas = scene.face, scene.face.style, scene.canvas
    rows = slice(185, canvas.rgb.shape[1])
    x = canvas.x - 0.85 * scene.place(0.0, 60.0, -4.0)[0]
    y = canvas.y[rows] - _COLLAR_Y
    rgb = canvas.rgb[:, rows]
    side = np.abs(x)
    slope = 0.17 if face.has("Male") else 0.25
    shoulder = y + 3.0 - slope * np.maximum(side - 24.0, 0.0)
    colour = hsv_to_rgb(
        style.clothes_hue, 0.15 + 0.5 * style.clothes_value, 0.12 + 0.75 * style.clothes_value
    )
    folds = (
        0.80
        + 0.10 * np.sin(0.16 * x + 6.0 * style.clothes_hue + 0.05 * y)
        + 0.005 * y
        + 0.25 * scene.lamp[0] * x / 90.0
    )
    fabric = planes(scene.lit(colour, 0.8)) * folds
    formal = face.has("Wearing_Necktie")
    if formal or style.collar > 0.7:
        shirt = planes(scene.lit(mix((0.95, 0.95, 0.97), colour, 0.15), 0.85)) * folds
        _cover(rgb, soft(np.minimum(shoulder, y + 6.0 - 0.5 * np.maximum(16.0 - side, 0.0))), shirt)
        lapel = soft(np.minimum(shoulder, side - 21.0 + 0.42 * y), 1.5)
        _cover(rgb, lapel, fabric * 0.75)
        for lean in SIDES:
            wing = np.minimum(8.0 - np.abs(y + 2.0 - 0.45 * lean * x + 8.0), 12.0 - np.abs(x - lean * 15.0))
            _cover(rgb, soft(wing, 1.5), shirt * 1.06)
        if formal:
            _necktie(scene, rgb, x, y)
        return
    depth = 1.0 + 11.0 * style.collar / 0.7 * (1.0 if not face.has("Male") else 0.5)
    neckline = y - depth + (0.55 * side if 0.25 < style.collar < 0.5 else 0.016 * side * side)
    fabric *= 1.0 - 0.21 * soft(1.6 - np.abs(neckline - 1.6), 1.5)  # the hem
    _cover(rgb, soft(np.minimum(shoulder, neckline), 1.4), fabric)


def _cover(rgb: Plane, mask: Plane, colour: Plane) -> None:
    over = colour - rgb
    over *= mask
    rgb += over


def _necktie(scene: Scene, rgb: Plane, x: Plane, y: Plane) -> None:
    style = scene.face.style
    colour = hsv_to_rgb((style.clothes_hue + 0.45) % 1.0, 0.7, 0.25 + 0.45 * style.makeup_hue)
    stripe = 0.85 + 0.22 * clamp(4.0 * np.sin((x + y) * 0.8), -1.0, 1.0)
    knot = np.minimum(6.5 - 0.16 * (y - 1.0) - np.abs(x), np.minimum(y + 5.0, 8.0 - y))
    blade = np.minimum(4.4 + 0.22 * (y - 8.0) - np.abs(x), y - 7.0)
    tie = planes(scene.lit(colour, 0.85)) * stripe
    _cover(rgb, soft(blade), tie * 0.9)
    _cover(rgb, soft(knot), tie * 1.1)


def necklace(scene: Scene) -> None:
    """Hang a chain of beads around the neck."""
    if not scene.face.has("Wearing_Necklace"):
        return
    patch = scene.canvas.patch(scene.place(0.0, 60.0, -4.0)[0] * 0.85, 89.0, 34.0, 16.0)
    hang = patch.v - 6.0 + 0.012 * patch.u * patch.u
    beads = 0.75 + 0.45 * np.cos(patch.u * 1.9)
    metal = mix(_GOLD, (0.92, 0.92, 0.95), round(scene.face.style.makeup_hue))
    patch.tint(soft(1.8 - np.abs(hang - 1.8), 2.0) * soft(30.0 - np.abs(patch.u), 2.0), (0.7, 0.62, 0.6))
    patch.blend(
        soft(1.3 - np.abs(hang)) * soft(30.0 - np.abs(patch.u), 2.0), planes(scene.lit(metal, 1.1)) * beads
    )
    patch.blend(ellipse(patch.u, hang - 3.5, 2.8, 3.2), scene.lit(metal, 1.25))


def earrings(scene: Scene) -> None:
    """Hang a drop from each ear lobe."""
    if not scene.face.has("Wearing_Earrings"):
        return
    metal = mix(_GOLD, (0.93, 0.93, 0.97), round(scene.face.style.makeup_hue))
    for side in SIDES:
        u0, v0 = scene.place((scene.skull_width + 1.0) * side, 29.0, -2.0)
        patch = scene.canvas.patch(u0, v0, 6.0, 12.0)
        seen = soft(1.0 - scene.head.distance(patch.u + u0, levels(patch.v + v0)))
        patch.blend(ellipse(patch.u, patch.v + 4.0, 1.9, 1.9) * seen, scene.lit(metal, 1.3))
        patch.blend(ellipse(patch.u, patch.v - 3.0, 2.9, 5.4) * seen, scene.lit(metal, 0.95))
        patch.blend(ellipse(patch.u + 0.8, patch.v - 1.8, 1.1, 2.4) * seen, scene.lit((1.0, 0.98, 0.92), 1.4))


def eyeglasses(scene: Scene) -> None:
    """Put on glasses: thin or thick rims, round or square, sometimes dark."""
    if not scene.face.has("Eyeglasses"):
        return
    kind = scene.face.style.glasses
    rim = 1.2 + 1.1 * ((kind * 7.0) % 1.0)
    frame = scene.lit(mix((0.06, 0.05, 0.05), (0.45, 0.30, 0.18), (kind * 3.0) % 1.0), 0.8)
    bridge = scene.canvas.patch(*scene.place(0.0, -1.5, 43.0), 7.0, 6.0)
    bridge.blend(
        soft(0.9 * rim - np.abs(bridge.v - 0.05 * bridge.u**2), 1.3) * soft(6.5 - np.abs(bridge.u)), frame
    )
    for side in SIDES:
        u0, v0 = scene.place(20.0 * side, 2.0, 37.0)
        width, height = 15.0 * scene.foreshortening(side), 10.5 + 2.5 * kind
        patch = scene.canvas.patch(u0, v0, width + 3.0, height + 3.0)
        across, down = (patch.u / width) ** 2, (patch.v / height) ** 2
        shape = across + down if kind < 0.35 else np.sqrt(across * across + down * down)
        distance = (1.0 - shape) * (0.5 * height)
        glass = soft(distance)
        if kind > 0.8:
            patch.blend(glass * 0.88, scene.lit((0.10, 0.09, 0.10), 0.8))
        patch.tint(glass, (0.93, 0.95, 0.96))
        glare = soft(3.0 - np.abs(patch.u + patch.v * 0.7 - 4.0 * side), 3.0) * glass
        patch.lighten(glare * (0.10 * scene.face.light.strength))
        patch.blend(soft(rim - np.abs(distance), 1.3), frame)
        _temple(scene, side, frame)


def _temple(scene: Scene, side: float, frame: Colour) -> None:
    """Draw the arm of the glasses from the rim to the ear."""
    inner, outer = scene.place(33.0 * side, 0.0, 31.0), scene.place(41.0 * side, 1.0, 0.0)
    length = (outer[0] - inner[0]) * side
    if length < 2.0:
        return
    patch = scene.canvas.patch(0.5 * (inner[0] + outer[0]), 0.5 * (inner[1] + outer[1]), 0.5 * length, 4.0)
    patch.blend(soft(1.1 - np.abs(patch.v + 1.0), 1.3), frame)


def hat(scene: Scene) -> None:
    """Put on a woollen hat, a cap or a hat with a brim; all hide the top of the hair."""
    if not scene.face.has("Wearing_Hat"):
        return
    style, canvas = scene.face.style, scene.canvas
    u0, edge = scene.place(0.0, 0.0, 4.0)[0], scene.place(0.0, -27.0, 30.0)[1]
    woollen, brimmed = style.hat < 0.4, style.hat > 0.75
    top = scene.crown - (17.0 if brimmed else 11.0)
    width = scene.skull_width + 9.0
    up = ramp(LEVELS, edge, top)
    half = width * (1.0 - 0.08 * up) * np.sqrt(1.0 - up ** (5.0 if brimmed else 2.6))
    beyond = np.maximum(top - LEVELS, LEVELS - edge - 20.0)
    dome = Outline(np.where(beyond > 0.0, -beyond, half).astype(np.float32))
    patch = canvas.patch(u0, 0.5 * (top + edge), 86.0, 0.5 * (edge - top) + 22.0)
    v = patch.v + 0.5 * (top + edge) - edge
    below_edge = v - 0.0035 * patch.u * patch.u
    from_dome = dome.distance(patch.u, levels(v + edge))
    patch.tint(
        soft(9.0 - below_edge, 9.0) * soft(from_dome, 3.0),
        (0.62, 0.56, 0.56),
    )
    colour = hsv_to_rgb(
        (style.clothes_hue + 0.3) % 1.0, 0.45 * style.clothes_value + 0.1, 0.2 + 0.6 * style.makeup_hue
    )
    inside = np.minimum(from_dome, -below_edge)
    patch.blend(
        soft(inside, 1.5), planes(scene.lit(colour)) * _cloth(scene, patch, v, width, woollen=woollen)
    )
    _brim(scene, patch, below_edge, colour, brimmed=brimmed, woollen=woollen)


def _cloth(scene: Scene, patch: Patch, v: Plane, width: float, *, woollen: bool) -> Plane:
    round_u = patch.u / width
    shade: Plane = 0.95 - 0.45 * round_u * round_u + 0.8 * scene.lamp[0] * round_u - 0.004 * v
    if woollen:
        shade *= 0.94 + 0.10 * np.cos(np.arcsin(np.clip(round_u, -0.99, 0.99)) * 44.0)
    return shade


def _brim(
    scene: Scene, patch: Patch, below_edge: Plane, colour: Colour, *, brimmed: bool, woollen: bool
) -> None:
    if woollen:
        cuff = soft(7.0 - np.abs(below_edge + 6.0), 2.0) * soft(
            scene.skull_width + 9.0 - np.abs(patch.u), 2.0
        )
        patch.tint(cuff, (0.85, 0.85, 0.87))
        patch.tint(blob(patch.u * 0.3, below_edge + 13.5, 20.0, 2.5), (0.6, 0.6, 0.6))
    elif brimmed:
        band = soft(4.0 - np.abs(below_edge + 8.0)) * soft(scene.skull_width + 7.0 - np.abs(patch.u))
        patch.blend(band, scene.lit(mix(colour, (0.05, 0.05, 0.05), 0.7)))
        brim = ellipse(patch.u, below_edge + 0.0 * patch.u, 84.0, 6.5)
        patch.blend(brim, planes(scene.lit(colour, 0.9)) * (0.85 - 0.03 * below_edge))
    else:
        peak = ellipse(patch.u - 20.0 * scene.face.pose.yaw, below_edge - 1.0, 44.0, 8.0)
        patch.blend(peak, planes(scene.lit(mix(colour, (0.1, 0.1, 0.1), 0.25))) * (0.8 - 0.035 * below_edge))
