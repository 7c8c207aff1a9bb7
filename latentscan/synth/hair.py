"""Hair: behind the head, over the skull, sideburns, stubble and beards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.canvas import blob, clamp, combine, levels, planes, soft, strands
from latentscan.synth.haircut import haircut, parted_line
from latentscan.synth.scene import SIDES, mix

if TYPE_CHECKING:
    from latentscan.synth.scene import Scene


def hair_behind(scene: Scene) -> None:
    """Paint the hair behind neck and ears, in their shadow."""
    cut = haircut(scene)
    if cut is not None:
        r, g, b = scene.lit(scene.hair, 0.8)
        cut.patch.blend(soft(cut.from_edge - 1.5, 2.0), (0.5 * r, 0.5 * g, 0.5 * b))


def hair_front(scene: Scene) -> None:
    """Lay the hair over the skull, around the face, with its shadow on the skin."""
    cut, face = haircut(scene), scene.face
    if cut is None:
        return
    patch, texture, from_face = cut.patch, cut.texture(), cut.from_face()
    wisps = 3.4 if cut.bangs else 1.6 if face.has("Straight_Hair") else 2.2
    mask = soft(cut.from_edge + texture, 2.6)
    keep = soft(3.0 - from_face, 9.0)
    keep *= mask
    keep *= -0.38
    keep += 1.0
    if not cut.long:
        from_face += 3.0 * strands(patch.u * 0.16, face.style.lock_phase)
    mask *= soft(wisps * texture - from_face, 2.4)
    keep *= 1.0 - mask
    round_u = cut.across * (1.0 / (cut.width + 4.0))
    square = round_u * round_u
    shade = (0.92 + scene.lamp[0] * round_u - 0.32 * square) - 0.0016 * cut.below_crown
    if cut.long and not cut.bangs:
        shade *= 1.0 - 0.45 * parted_line(cut)
    shade *= 0.80 + 0.34 * texture
    clamp(shade, 0.1, 2.0)
    ring = (cut.below_crown - 19.0 + 10.0 * square) * (1.0 / 16.0)
    texture *= 0.6
    texture += 0.55
    light = np.array((shade, clamp(1.0 - ring * ring) * texture))
    light *= mask
    np.multiply(patch.rgb, keep, out=patch.rgb)
    gloss = mix(scene.hair, (0.75, 0.72, 0.70), 0.45)
    hues = np.array([scene.lit(scene.hair), scene.lit(mix(gloss, (0.0, 0.0, 0.0), 0.58))], dtype=np.float32)
    patch.lighten(combine(hues.T, light))


def sideburns(scene: Scene) -> None:
    """Paint the hair before the ears."""
    if not scene.face.has("Sideburns"):
        return
    for side in SIDES:
        u0, v0 = scene.place((scene.skull_width - 4.0) * side, 12.0, 6.0)
        patch = scene.canvas.patch(u0, v0, 9.0, 22.0)
        inside = scene.head.distance(patch.u + u0, levels(patch.v + v0))
        hairs = strands(patch.u * 1.3 + patch.v * 0.25 * side, 0.2)
        mask = (
            soft(5.0 - 0.06 * patch.v - np.abs(patch.u) + hairs, 3.0)
            * soft(17.0 - np.abs(patch.v + 4.0) + hairs, 8.0)
            * soft(inside + 2.0, 2.0)
        )
        colour = planes(scene.lit(mix(scene.hair, scene.beard, 0.3), 0.8))
        patch.blend(mask * 0.82, colour * (0.9 + 0.35 * hairs))


def beard(scene: Scene) -> None:
    """Paint stubble, moustache, goatee, and the full beard that goatee and sideburns grow into."""
    face = scene.face
    mouth_u, mouth_v = scene.mouth()
    if not face.chosen & {"5_o_Clock_Shadow", "Mustache", "Goatee"}:
        return
    patch = scene.canvas.patch(mouth_u, mouth_v + 4.0, 48.0, 40.0)
    u, v = patch.u, patch.v + 4.0
    side = np.abs(u)
    mouth_free = 1.0 - blob(u, v - 1.0, 17.0, 7.0)
    moustache = soft(np.minimum(4.6 - np.abs(v + 6.2 - 0.017 * u * u), (20.0 - side) * 0.6), 2.4)
    chin = np.maximum(
        blob(u, v - 17.0, 19.0, 16.0) * 2.2,
        soft(3.4 - np.abs(side - 17.0), 3.0) * soft(12.0 - np.abs(v - 6.0), 6.0),
    )
    cheek_line = v + 1.0 + 1.25 * np.maximum(side - 17.0, 0.0) - clamp(9.0 * (17.0 - side), 0.0, 9.0)
    jaw = np.maximum(soft(cheek_line - 4.0, 8.0), moustache)
    inside = scene.head.distance(u + mouth_u, levels(v + mouth_v))
    hairs = strands(u * 1.2 + 0.012 * u * v, face.style.lock_phase) + 0.25 * scene.grain(patch.box, 2)
    if face.has("5_o_Clock_Shadow"):
        stubble = jaw * (0.5 + 0.16 * scene.grain(patch.box, 3)) * soft(inside, 2.0) * mouth_free
        patch.tint(clamp(stubble), (0.60, 0.60, 0.64))
    grown = moustache * face.has("Mustache")
    reach = 0.0
    if face.has("Goatee"):
        grown, reach = np.maximum(grown, np.minimum(chin, 1.0)), 3.0
        if face.has("Sideburns"):
            grown, reach = np.maximum(grown, soft(cheek_line - 4.0 + 2.0 * hairs, 4.0)), 5.0
    grown = clamp(grown * mouth_free) * soft(inside + reach + 1.5 * hairs, 2.0)
    shade = clamp(0.85 + 0.32 * hairs - 0.006 * v + 0.5 * scene.lamp[0] * u / 45.0, 0.3, 1.4)
    patch.blend(grown * clamp(0.86 + 0.12 * hairs), planes(scene.lit(scene.beard, 0.75)) * shade)
