"""Skin: neck, ears, and the head as a relief that is sculpted, lit, and marked by age."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.canvas import blob, clamp, combine, ellipse, levels, planes, soft
from latentscan.synth.haircut import haircut
from latentscan.synth.scene import BOTH_SIDES, SIDES, mix

if TYPE_CHECKING:
    from latentscan.synth.canvas import Box, Colour, Hill, Plane
    from latentscan.synth.scene import Scene

_FLUSH = (1.0, 0.86, 0.84)


def neck(scene: Scene) -> None:
    """Paint the neck, in the shadow of the chin."""
    face, canvas = scene.face, scene.canvas
    width = 25.0 + 5.0 * face.has("Male") + 3.0 * face.has("Chubby")
    u0 = scene.place(0.0, 60.0, -4.0)[0] * 0.9
    patch = canvas.patch(u0, 78.0, width + 17.0, 40.0)
    across, v = np.abs(patch.u), patch.v[:, :1]  # to leave out the roll shows nowhere on a neck
    flare = np.maximum(v - 6.0, 0.0)
    mask = soft(width + 0.012 * flare * flare - across, 1.5)
    round_ = clamp(1.0 - (across / (width + 4.0)) ** 2)
    lamp_side = 0.25 * scene.lamp[0] / width * patch.u
    shadow = clamp((v + 81.0 - scene.chin) * 0.05)
    shade = (0.30 + 0.32 * np.sqrt(round_) + lamp_side) * (0.30 + 0.70 * shadow)
    r, g, b = scene.lit(scene.skin)
    patch.blend(mask, planes((1.03 * r, 0.97 * g, 0.95 * b)) * (0.28 + shade))
    if face.has("Double_Chin"):
        roll = canvas.patch(scene.place(0.0, 66.0, 26.0)[0], scene.chin + 4.0, 34.0, 20.0)
        fold = roll.v - 9.0 + 0.012 * roll.u * roll.u
        roll.blend(soft(-fold, 3.0) * blob(roll.u, roll.v + 4.0, 40.0, 24.0), scene.lit(scene.skin, 0.62))
        roll.tint(blob(roll.u, fold, 32.0, 5.0), (0.66, 0.55, 0.52))


def ears(scene: Scene) -> None:
    """Paint the ears, unless hair hides them; the head is painted over their inner parts."""
    cut = haircut(scene)
    if cut is not None and cut.long:
        return
    places = [scene.place(scene.skull_width * 1.03 * side, 10.0, -6.0) for side in SIDES]
    patch = scene.canvas.both(places, 11.0, 20.0)
    lean = patch.u + 0.16 * BOTH_SIDES * patch.v
    reddish = mix(scene.skin, (0.8, 0.4, 0.35), 0.12)
    colours = [scene.lit(reddish, 0.62 + 0.55 * scene.lamp[0] * side) for side in SIDES]
    patch.blend(
        ellipse(lean, patch.v, 7.0, 15.5), np.array(colours, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    )
    patch.tint(blob(lean + 1.5 * BOTH_SIDES, patch.v + 1.0, 5.5, 12.0), (0.62, 0.48, 0.46))
    patch.tint(blob(lean - 2.2 * BOTH_SIDES, patch.v + 5.0, 2.4, 10.0), (1.12, 1.1, 1.1))
    scene.canvas.paste(patch)


def head(scene: Scene) -> None:
    """Sculpt the head as a height field, light it, and colour it."""
    rows, columns = box = scene.head_box
    canvas = scene.canvas
    bumps = [*_upper_relief(scene), *_lower_relief(scene)]
    relief = canvas.hills(
        box, [place for place, _ in bumps], np.array([[height for _, height in bumps]], np.float32)
    )[0]
    window = canvas.window(box)
    distance, place = scene.head.distance_and_place(window.u, levels(window.v))
    relief += _skull(scene, window.v[:, place.shape[1] // 2, np.newaxis], place)
    over = _lit_skin(scene, relief, box)
    stains = _complexion(scene)
    weights = np.array([colour for _, colour in stains], dtype=np.float32).T - 1.0
    over *= canvas.hills(box, [place for place, _ in stains], weights)
    below = canvas.rgb[:, rows, columns]
    over -= below
    over *= soft(distance, 1.4)
    below += over


def _skull(scene: Scene, v: Plane, place: Plane) -> Plane:
    """Return the height of the bare skull: round across, flatter at the front, cut off below the chin.

    To light it, one `v` (rows, 1) for a whole row is enough.
    """
    up = clamp((v - 5.0) * (1.0 / (scene.crown - 6.0)))
    down = clamp((v - scene.chin + 14.0) * (1.0 / 15.0))
    depth = 42.0 * np.sqrt(1.0 - up * up)
    depth -= 12.0 * down * down
    place = place * place
    place *= 0.5 + 0.5 * place
    height = np.sqrt(clamp(1.0 - place))
    height *= depth
    return height


_Bump = tuple["Hill", float]  # with its height, pixels
_Stain = tuple["Hill", "Colour"]  # with what it multiplies the skin's colour by


def _upper_relief(scene: Scene) -> list[_Bump]:
    face, shape = scene.face, scene.face.shape
    male, big, pointy = face.has("Male"), face.has("Big_Nose"), face.has("Pointy_Nose")
    tip_u, tip_v = scene.nose()
    width = scene.nose_width
    rise = shape.nose_depth * (1.15 if pointy else 1.0) * (1.12 if big else 1.0)
    bridge_u, bridge_v = scene.place(0.0, 0.0, 39.0)
    bumps: list[_Bump] = [
        ((tip_u, tip_v - 1.0, (6.5 if pointy else 9.5) * width, 9.0 if pointy else 10.5), 5.6 * rise)
    ]
    for share, radius, height in ((0.0, 7.5, 2.8), (0.33, 7.0, 3.2), (0.66, 7.5, 3.4)):
        u, v = bridge_u + share * (tip_u - bridge_u), bridge_v + share * (tip_v - bridge_v)
        bumps.append(((u, v, radius * width, 9.0), height * rise))
    for side in SIDES:
        wing = scene.place(8.0 * width * side, 28.0 * shape.nose_length * shape.face_length, 43.0)
        brow = scene.place(19.0 * side, -12.0, 37.0)
        eye_u, eye_v = scene.eye(side)
        bumps += [
            ((*wing, 6.0 * width, 6.0), 4.6 * width),
            ((eye_u, eye_v - 1.0, 17.0, 12.0), -6.0),
            ((eye_u, eye_v, 11.5, 8.0), 3.4),
            ((*brow, 19.0, 8.0), 3.6 if male else 2.0),
        ]
    return bumps


def _lower_relief(scene: Scene) -> list[_Bump]:
    face, shape = scene.face, scene.face.shape
    mouth_u, mouth_v = scene.mouth()
    smile = shape.smile * face.has("Smiling")
    lips = shape.lip_height * (1.4 if face.has("Big_Lips") else 1.0)
    high, chubby = face.has("High_Cheekbones"), face.has("Chubby")
    chin_u, chin_v = scene.place(0.0, 61.0 * shape.face_length, 40.0)
    crease = -0.5 - 0.9 * smile - 0.7 * (not face.has("Young")) - 0.3 * chubby
    bumps: list[_Bump] = [
        ((mouth_u, mouth_v, 26.0, 20.0), 3.2),
        ((mouth_u, mouth_v - 9.5, 3.5, 7.0), -0.8),
        ((mouth_u, mouth_v + 5.0 * lips, 13.0, 4.6 * lips), 2.2 * lips),
        ((mouth_u, mouth_v + 10.5 + 2.0 * lips, 15.0, 5.0), -2.4),
        ((chin_u, chin_v, 16.0, 10.0), 4.5),
    ]
    for side in SIDES:
        bone = scene.place(27.0 * side, 19.0 - 3.0 * smile - 2.0 * high, 24.0)
        hollow = scene.place(28.0 * side, 42.0, 20.0)
        bumps += [((*bone, 18.0, 13.0), 2.2 + 2.6 * high + 1.6 * smile)]
        bumps += [((*hollow, 15.0, 18.0), 5.0 * chubby - 3.4 * high * (not chubby))]
        for x, y in ((14.5, 30.0), (17.5, 35.0), (20.0, 40.5)):
            fold = scene.place((x + 2.0 * smile) * side, y * shape.face_length, 36.0)
            bumps.append(((*fold, 3.4, 5.5), crease))
    return bumps


def _lit_skin(scene: Scene, relief: Plane, box: Box) -> Plane:
    """Return the skin's colours (3, ...) over a window: wrapped Lambert light plus a soft gloss."""
    face, light = scene.face, scene.face.light
    twice_x, twice_y = np.zeros_like(relief), np.zeros_like(relief)
    np.subtract(relief[:, 2:], relief[:, :-2], out=twice_x[:, 1:-1])
    np.subtract(relief[2:], relief[:-2], out=twice_y[1:-1])
    rim = twice_x * twice_x
    rim += twice_y * twice_y
    rim += 4.0
    np.sqrt(rim, out=rim)
    np.divide(2.0, rim, out=rim)  # the normal is (-twice_x / 2, -twice_y / 2, 1) * rim
    lamp_x, lamp_y, lamp_z = scene.lamp
    tilt = twice_x * (0.5 * lamp_x)
    twice_y *= 0.5 * lamp_y
    tilt += twice_y
    tilt *= rim
    shade = rim * lamp_z
    shade -= tilt
    norm = sqrt(2.0 * (1.0 + lamp_z))  # of lamp plus viewer, between which the gloss is brightest
    gloss = (shade + rim) * (1.0 / norm)
    for _ in range(4):
        gloss *= gloss
    shade *= 0.8
    shade += 0.2
    clamp(shade)
    shade *= light.strength
    rim *= 0.45 * light.ambient
    shade += rim
    shade += 0.55 * light.ambient
    shade += scene.grain(box, 1) * (0.006 if face.has("Young") else 0.016)
    shine = light.strength * (0.09 if face.has("Heavy_Makeup") else 0.15)
    shares = [
        (base * lamp * (1.0 - glow), shine, base * glow)
        for base, lamp, glow in zip(scene.skin, scene.lamp_colour, (0.13, 0.03, 0.0), strict=True)
    ]
    return combine(np.array(shares, dtype=np.float32), np.array((shade, gloss, np.ones_like(shade))))


def _complexion(scene: Scene) -> list[_Stain]:
    """Return what reddens cheeks and nose, and darkens sockets, bags, nostrils and the mouth's corners."""
    face, width = scene.face, scene.nose_width
    rosy, made_up = face.has("Rosy_Cheeks"), face.has("Heavy_Makeup")
    cheek = (1.0, 0.72, 0.73) if rosy else (1.0, 0.88, 0.87) if made_up else (1.0, 0.94, 0.92)
    base_u, base_v = scene.nostrils()
    stains: list[_Stain] = [
        ((0.0, 0.0, 1e9, 1e9), (2.0, 2.0, 2.0)),  # all the others add to this
        ((*scene.nose(), 12.0, 9.0), _FLUSH),
        ((base_u, base_v, 12.0 * width, 4.0), (0.78, 0.67, 0.64)),
    ]
    mouth_u, mouth_v = scene.mouth()
    for side in SIDES:
        eye_u, eye_v = scene.eye(side)
        corner = mouth_u + side * scene.mouth_width, mouth_v - 4.0 * face.shape.smile * face.has("Smiling")
        wing_u = base_u + 10.2 * width * side * scene.foreshortening(side)
        stains += [
            ((*scene.place(26.0 * side, 25.0, 24.0), 17.0, 15.0), cheek),
            ((eye_u, eye_v - 1.0, 18.0, 12.0), (0.88, 0.81, 0.80)),
            ((0.55 * base_u + 0.45 * wing_u, base_v - 0.6, 2.6 * width, 1.7), (0.22, 0.10, 0.08)),
            ((wing_u, base_v - 3.5, 2.4, 5.5), (0.74, 0.62, 0.59)),
            ((*corner, 3.0, 3.0), (0.72, 0.60, 0.58)),
        ]
        if face.has("Bags_Under_Eyes"):
            for x, y in ((-6.5, 7.4), (0.0, 8.8), (6.5, 7.4)):
                stains.append(((eye_u + x, eye_v + y, 6.5, 3.4), (0.76, 0.67, 0.70)))
                stains.append(((eye_u + x, eye_v + y - 3.4, 6.0, 2.4), (1.07, 1.06, 1.06)))
    return stains


def wrinkles(scene: Scene) -> None:
    """Draw the lines of age on the forehead and beside the eyes."""
    if scene.face.has("Young"):
        return
    u0, v0 = scene.place(0.0, -31.0, 37.0)
    patch = scene.canvas.patch(u0, v0, 26.0, 13.0)
    bend = np.abs(patch.v + 0.004 * patch.u * patch.u)
    nearest = np.minimum(bend, np.abs(bend - 6.0))
    patch.tint(soft(1.0 - nearest, 2.0) * blob(patch.u, patch.v, 27.0, 20.0), (0.76, 0.68, 0.66))
    for side in SIDES:
        u0, v0 = scene.place(34.5 * side, 1.0, 22.0)
        patch = scene.canvas.patch(u0, v0, 7.0, 9.0)
        outward = patch.u * side + 6.0
        fan = np.abs(patch.v)
        nearest = np.minimum(fan, np.abs(fan - 0.6 * outward))
        patch.tint(soft(0.8 - nearest, 1.6) * blob(patch.u, patch.v, 7.0, 9.0), (0.74, 0.66, 0.64))
