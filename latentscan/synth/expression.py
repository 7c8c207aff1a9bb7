"""What a face looks with: brows, eyes and mouth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.canvas import blob, clamp, ellipse, planes, soft, strands
from latentscan.synth.scene import BOTH_SIDES, SIDES, along, mix

if TYPE_CHECKING:
    from latentscan.synth.canvas import Colour, Patch, Plane
    from latentscan.synth.scene import Scene

_IRISES: tuple[Colour, ...] = (
    (0.13, 0.08, 0.05),
    (0.26, 0.15, 0.08),
    (0.36, 0.24, 0.12),
    (0.34, 0.38, 0.24),
    (0.30, 0.44, 0.52),
    (0.42, 0.55, 0.66),
)
_LIPSTICKS: tuple[Colour, ...] = (
    (0.72, 0.06, 0.12),
    (0.80, 0.22, 0.30),
    (0.86, 0.36, 0.48),
    (0.55, 0.05, 0.18),
)
_LASHES: Colour = (0.09, 0.06, 0.055)


def brows(scene: Scene) -> None:
    """Brush on the brows."""
    face, shape = scene.face, scene.face.shape
    arch = 4.2 if face.has("Arched_Eyebrows") else 1.6
    thick = (3.0 if face.has("Male") else 2.2) * (1.55 if face.has("Bushy_Eyebrows") else 1.0)
    places = [
        scene.place(
            20.0 * shape.eye_spacing * side, -12.0 - shape.brow_height - 0.7 * shape.asymmetry * side, 37.0
        )
        for side in SIDES
    ]
    patch = scene.canvas.both(places, 16.0, 11.0)
    side = BOTH_SIDES
    width = 14.0 * _foreshortenings(scene)
    outward = patch.u * (side / width)
    bend = outward - 0.3
    bow = (
        arch * (1.0 - (0.55 * bend + 0.95 * np.maximum(bend, 0.0)) * bend)
        - 0.5
        + 0.5 * shape.brow_tilt * outward
    )
    taper = thick * clamp(0.95 - 0.55 * outward, 0.2, 1.0)
    hairs = strands(patch.u * 1.6 + patch.v * (0.9 * side), face.style.lock_phase)
    distance = np.minimum(taper - np.abs(patch.v + bow), (1.0 - np.abs(outward)) * width * 0.5)
    mask = soft(distance + 0.7 * hairs, 2.2)
    mask *= 0.92 if face.has("Bushy_Eyebrows") else 0.78
    patch.blend(mask, scene.lit(scene.beard, 0.75))
    scene.canvas.paste(patch)


def eyes(scene: Scene) -> None:
    """Paint both eyes: lids, white, iris, pupil, and the lamp's reflection."""
    face, shape = scene.face, scene.face.shape
    patch = scene.canvas.both([scene.eye(side) for side in SIDES], 16.0, 12.0)
    width = 10.8 * shape.eye_size * _foreshortenings(scene)
    narrow, smile = face.has("Narrow_Eyes"), face.has("Smiling") * shape.smile
    up = 5.6 * shape.eye_size * (0.55 if narrow else 1.0)
    low = (3.6 - 0.9 * smile) * shape.eye_size * (0.62 if narrow else 1.0)
    outward = patch.u * (BOTH_SIDES / width)
    v = patch.v + (0.7 + 0.7 * shape.eye_tilt) * outward
    arch = np.maximum(1.0 - outward * outward, 0.0)
    upper, lower = v + up * arch * (1.0 + 0.12 * outward), low * np.sqrt(arch) * 0.9 - v
    corners = (1.0 - np.abs(outward)) * width
    open_ = soft(np.minimum(np.minimum(upper, lower), corners), 1.2)
    patch.blend(open_, _eyeball(scene, patch, v, upper))
    if face.has("Heavy_Makeup"):
        shadow = along(((0.55, 0.40, 0.42), (0.45, 0.42, 0.60), (0.62, 0.48, 0.36)), face.style.makeup_hue)
        patch.tint(blob(outward * 0.85, (upper + 2.6) * 0.17, 1.0, 1.0) * (1.0 - open_), shadow)
    lashes = 2.0 if face.has("Heavy_Makeup") else 1.1 if face.has("Male") else 1.5
    lashes *= 0.65 if narrow else 1.0
    line = soft(lashes - np.abs(upper), 1.6) * soft(corners + 1.0 + lashes * np.maximum(outward, 0.0), 2.0)
    patch.blend(line * (0.88 if lashes > 1.3 else 0.72), scene.lit(_LASHES, 0.6))
    folds = np.minimum(np.abs(lower), np.abs(upper + (3.4 - 0.8 * narrow)))  # lower lid, and upper in repose
    patch.tint(soft(0.75 - folds, 1.8) * soft(corners + 0.5, 3.5), (0.67, 0.54, 0.52))
    scene.canvas.paste(patch)


def _foreshortenings(scene: Scene) -> Plane:
    return np.array([scene.foreshortening(side) for side in SIDES], dtype=np.float32).reshape(2, 1, 1, 1)


def _eyeball(scene: Scene, patch: Patch, v: Plane, upper: Plane) -> Plane:
    """Return the colours of the eye without its lids."""
    face = scene.face
    u = patch.u - 1.5 * face.shape.gaze + 5.0 * face.pose.yaw * 0.3
    radius = 5.3 * face.shape.eye_size**0.5
    from_pupil = np.sqrt(u * u + (v + 0.7) ** 2)
    white = scene.lit((0.93, 0.90, 0.88), 1.05)
    ball = np.empty((2, 3, *u.shape[2:]), dtype=np.float32)
    ball[:] = planes(white)
    iris = along(_IRISES, face.style.iris * (1.0 - 0.75 * face.style.skin))
    rim = clamp(1.25 - 0.13 * from_pupil + 0.05 * v, 0.3, 1.3)
    mask = soft(radius - from_pupil, 1.4)
    ball += mask * (planes(scene.lit(iris, 1.2)) * rim - ball)
    ball *= 1.0 - 0.94 * soft(0.42 * radius - from_pupil, 1.3)
    ball *= clamp(0.42 + 0.17 * upper)
    glint = ellipse(u - 2.2 * scene.lamp[0] - 1.0, v + 2.4, 1.5, 1.5)
    ball += 0.85 * glint
    return ball


def mouth(scene: Scene) -> None:
    """Paint lips and what an open mouth shows."""
    face, shape = scene.face, scene.face.shape
    u0, v0 = scene.mouth()
    smile = face.has("Smiling") * shape.smile
    width = scene.mouth_width
    gap = (2.2 + 2.6 * shape.gap + 1.8 * smile) * face.has("Mouth_Slightly_Open")
    lips = shape.lip_height * (1.5 if face.has("Big_Lips") else 1.0) * (0.86 if face.has("Male") else 1.0)
    patch = scene.canvas.patch(u0, v0, width + 4.0, 17.0)
    across = patch.u / width
    square = across * across
    arch = np.maximum(1.0 - square, 0.0)
    v = (
        patch.v
        + (5.2 * smile + 2.2 + 0.5 * shape.brow_tilt) * square
        - 1.2 * smile
        + 0.8 * shape.asymmetry * across
    )
    bow = 1.0 - 0.42 * np.maximum(1.0 - 22.0 * square, 0.0)
    corners = (1.0 - np.abs(across)) * width
    above, below = v + 0.42 * gap * arch, v - 0.58 * gap * arch
    upper = np.minimum(above + 3.8 * lips * arch * bow, np.minimum(corners, -above))
    lower = np.minimum(5.2 * lips * arch * (1.35 - 0.35 * arch) - below, np.minimum(corners, below))
    if gap:
        patch.blend(
            soft(np.minimum(np.minimum(above, -below), corners) + 0.4),
            _mouth_inside(scene, patch, above, gap),
        )
    lip = _lip_tint(scene)
    patch.tint(soft(upper + 0.5), mix(lip, (0.4, 0.2, 0.2), 0.18))
    patch.tint(soft(lower + 0.5), lip)
    shine = 0.16 if face.has("Wearing_Lipstick") else 0.06
    shine *= face.light.strength + 0.2
    patch.lighten(shine * blob(patch.u + 2.0 - 6.0 * scene.lamp[0], below - 2.4 * lips, 9.0, 1.8))
    line = soft(0.55 - np.minimum(np.abs(above), np.abs(below)), 1.6) * soft(corners + 1.2, 3.0)
    patch.tint(line, (0.42, 0.26, 0.26))


def _lip_tint(scene: Scene) -> Colour:
    natural = mix((0.88, 0.64, 0.64), (0.80, 0.62, 0.62), scene.face.style.skin)
    if not scene.face.has("Wearing_Lipstick"):
        return mix(natural, (1.0, 0.8, 0.76), 0.3) if scene.face.has("Male") else natural
    r, g, b = (
        min(1.05, paint / skin)
        for paint, skin in zip(along(_LIPSTICKS, scene.face.style.makeup_hue), scene.skin, strict=True)
    )
    return mix((r, g, b), natural, 0.2)


def _mouth_inside(scene: Scene, patch: Patch, above: Plane, gap: float) -> Plane:
    """Return the colours between the lips: upper teeth in the shade of the lip, darkness below."""
    teeth = soft(min(0.78 * gap, 5.0) - above, 1.5)
    fade = clamp(1.15 - (patch.u / 17.0) ** 2, 0.25, 1.0)
    fade *= clamp(0.62 + 0.16 * above)
    fade *= 1.0 - 0.10 * soft(0.35 - np.abs((patch.u / 4.2 + 8.5) % 1.0 - 0.5) * 4.2, 1.2)
    dark = planes(scene.lit((0.24, 0.07, 0.07), 0.5))
    return dark + teeth * (planes(scene.lit((0.97, 0.94, 0.88), 1.05)) * fade - dark)
