"""Who there is: random faces drawn from (seed, index), with attributes about as frequent as in CelebA."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from latentscan.synth.parameters import HAIR_COLOURS, Camera, Face, Light, Pose, Shape, Style

if TYPE_CHECKING:
    from collections.abc import Iterator

# Rates among (women, men), near those of CelebA, of what depends on nothing else.
_RATES = {
    "Arched_Eyebrows": (0.42, 0.05),
    "Bags_Under_Eyes": (0.13, 0.31),
    "Bangs": (0.22, 0.07),
    "Big_Lips": (0.30, 0.16),
    "Big_Nose": (0.11, 0.41),
    "Blurry": (0.05, 0.05),
    "Bushy_Eyebrows": (0.06, 0.26),
    "Chubby": (0.02, 0.11),
    "Eyeglasses": (0.022, 0.125),
    "Heavy_Makeup": (0.66, 0.0),
    "Narrow_Eyes": (0.11, 0.12),
    "Oval_Face": (0.31, 0.25),
    "Pale_Skin": (0.06, 0.02),
    "Pointy_Nose": (0.38, 0.13),
    "Receding_Hairline": (0.05, 0.135),
    "Smiling": (0.54, 0.40),
    "Wearing_Earrings": (0.31, 0.02),
    "Wearing_Hat": (0.035, 0.07),
    "Wearing_Necklace": (0.20, 0.01),
    "Wearing_Necktie": (0.0, 0.175),
    "Young": (0.88, 0.63),
}
_MEN_BEARDS: tuple[tuple[float, frozenset[str]], ...] = (
    (0.25, frozenset({"5_o_Clock_Shadow"})),
    (0.045, frozenset({"Goatee"})),
    (0.02, frozenset({"Mustache"})),
    (0.025, frozenset({"Goatee", "Mustache"})),
    (0.06, frozenset({"Goatee", "Mustache", "Sideburns"})),
    (0.07, frozenset({"Sideburns"})),
)


class _Dice:
    """Random numbers by the handful: one call of NumPy for each would take longer than the drawing."""

    def __init__(self, seed: int, index: int) -> None:
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))
        self._uniforms: Iterator[float] = iter(generator.random(128).tolist())
        self._normals: Iterator[float] = iter(generator.standard_normal(64).clip(-2.5, 2.5).tolist())

    def chance(self, probability: float) -> bool:
        return next(self._uniforms) < probability

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * next(self._uniforms)

    def several(self, number: int) -> tuple[float, ...]:
        return tuple(islice(self._uniforms, number))

    def normal(self, mean: float = 0.0, deviation: float = 1.0) -> float:
        return mean + deviation * next(self._normals)


def draw_face(seed: int, index: int) -> Face:
    """Draw face `index` of the population `seed`; both in 0..2**64-1."""
    dice = _Dice(seed, index)
    chosen = _draw_attributes(dice)
    return Face(
        chosen=chosen,
        pose=Pose(
            yaw=dice.normal(0.0, 0.22),
            pitch=dice.normal(0.02, 0.09),
            roll=dice.normal(0.0, 0.06),
            scale=dice.normal(1.0, 0.025),
            shift_x=dice.normal(0.0, 0.8),
            shift_y=dice.normal(0.0, 0.8),
        ),
        light=Light(
            x=dice.normal(0.0, 0.45),
            y=dice.normal(-0.4, 0.25),
            strength=dice.uniform(0.42, 0.72),
            ambient=dice.uniform(0.34, 0.54),
            warmth=dice.normal(0.0, 0.05),
        ),
        shape=_draw_shape(dice),
        style=_draw_style(dice, chosen),
        camera=Camera(
            gain=dice.normal(1.0, 0.07),
            contrast=dice.normal(1.05, 0.09),
            warmth=dice.normal(0.0, 0.025),
            noise=dice.uniform(0.5, 3.6) ** 2 / 3.6,
            blur=dice.uniform(1.6, 3.2),
            grain_seed=int(dice.uniform(0, 2**18)),
        ),
    )


def _draw_attributes(dice: _Dice) -> frozenset[str]:
    male = dice.chance(0.417)
    chosen = {name for name, rates in _RATES.items() if dice.chance(rates[male])}
    if male:
        chosen |= {"Male"} | _draw_beard(dice)
    smiling, made_up = "Smiling" in chosen, "Heavy_Makeup" in chosen
    conditional = {
        "Mouth_Slightly_Open": 0.76 if smiling else 0.22,
        "High_Cheekbones": 0.80 if smiling else 0.13,
        "Double_Chin": 0.45 if "Chubby" in chosen else 0.02,
        "Wearing_Lipstick": 0.0 if male else 0.97 if made_up else 0.42,
        "Rosy_Cheeks": 0.16 if made_up else 0.005,
    }
    chosen |= {name for name, rate in conditional.items() if dice.chance(rate)}
    return frozenset((chosen | _draw_hair(dice, chosen)) - _impossible(chosen))


def _draw_beard(dice: _Dice) -> frozenset[str]:
    remaining = dice.uniform()
    for rate, beard in _MEN_BEARDS:
        remaining -= rate
        if remaining < 0.0:
            return beard
    return frozenset()


def _draw_hair(dice: _Dice, chosen: set[str]) -> set[str]:
    male, old = "Male" in chosen, "Young" not in chosen
    if dice.chance(0.053 if male else 0.0) and "Wearing_Hat" not in chosen:
        chosen -= {"Bangs", "Receding_Hairline"}
        return {"Bald"}
    shares = (0.28, 0.23, 0.04 if male else 0.24, 0.0) if not old else (0.17, 0.16, 0.06, 0.19)
    colour, curl, hair = dice.uniform(), dice.uniform(), set()
    for name, share in zip(HAIR_COLOURS, shares, strict=True):
        if 0.0 <= colour < share:
            hair.add(name)
        colour -= share
    straight, wavy = (0.23, 0.14) if male else (0.19, 0.45)
    if curl < straight:
        hair.add("Straight_Hair")
    elif curl < straight + wavy:
        hair.add("Wavy_Hair")
    return hair


def _impossible(chosen: set[str]) -> set[str]:
    hidden = {"Bangs", "Receding_Hairline"} if "Wearing_Hat" in chosen else set()
    return hidden | ({"Bangs"} if "Receding_Hairline" in chosen else set())


def _draw_shape(dice: _Dice) -> Shape:
    return Shape(
        face_width=dice.normal(1.0, 0.035),
        face_length=dice.normal(1.0, 0.035),
        jaw=dice.normal(),
        chin=dice.normal(),
        eye_spacing=dice.normal(1.0, 0.03),
        eye_size=dice.normal(1.0, 0.07),
        eye_tilt=dice.normal(),
        gaze=dice.normal(),
        brow_height=dice.normal(),
        brow_tilt=dice.normal(),
        nose_width=dice.normal(1.0, 0.09),
        nose_length=dice.normal(1.0, 0.06),
        nose_depth=dice.normal(1.0, 0.12),
        mouth_width=dice.normal(1.0, 0.07),
        lip_height=dice.normal(1.0, 0.14),
        mouth_height=dice.normal(),
        asymmetry=dice.normal(),
        smile=dice.uniform(0.6, 1.0),
        gap=dice.uniform(),
    )


def _draw_style(dice: _Dice, chosen: frozenset[str]) -> Style:
    male = "Male" in chosen
    darkest = 0.45 if "Blond_Hair" in chosen else 1.0
    return Style(
        skin=darkest * dice.uniform() ** 1.8,
        iris=dice.uniform(),
        hair_tone=dice.uniform(),
        hair_length=dice.uniform(0.0, 0.4) ** 1.5 if male else 1.0 - dice.uniform() ** 2 * 0.7,
        hair_volume=dice.uniform(),
        parting=dice.normal(0.0, 0.5),
        lock_phase=dice.uniform(),
        makeup_hue=dice.uniform(),
        clothes_hue=dice.uniform(),
        clothes_value=dice.uniform(),
        collar=dice.uniform(),
        hat=dice.uniform(),
        glasses=dice.uniform(),
        backdrop=dice.several(24),
        structure=dice.uniform(),
    )
