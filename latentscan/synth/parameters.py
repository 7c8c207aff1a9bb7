"""What a face is: CelebA's 40 attributes and every continuous parameter of its portrait."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""
ATTRIBUTES = tuple(_NAMES.split())  # in CelebA's order
DERIVED = frozenset({"Attractive", "No_Beard"})  # these follow from the others and from the shape
BEARDS = frozenset({"5_o_Clock_Shadow", "Goatee", "Mustache"})
HAIR_COLOURS = ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair")


@dataclass(frozen=True)
class Pose:
    """Where the head is: angles in radians, shifts in pixels, scale 1 for CelebA's eye distance."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class Light:
    """A lamp: its place seen from the face, its strength, the light from all around, and its warmth."""

    x: float
    y: float
    strength: float
    ambient: float
    warmth: float


@dataclass(frozen=True)
class Shape:
    """Bones and flesh; 1 is the average of a length, 0 the average of a deviation."""

    face_width: float
    face_length: float
    jaw: float
    chin: float
    eye_spacing: float
    eye_size: float
    eye_tilt: float
    gaze: float
    brow_height: float
    brow_tilt: float
    nose_width: float
    nose_length: float
    nose_depth: float
    mouth_width: float
    lip_height: float
    mouth_height: float
    asymmetry: float
    smile: float
    gap: float


@dataclass(frozen=True)
class Style:
    """Colours, hair, clothes and background; numbers without a unit lie in 0..1."""

    skin: float
    iris: float
    hair_tone: float
    hair_length: float
    hair_volume: float
    parting: float
    lock_phase: float
    makeup_hue: float
    clothes_hue: float
    clothes_value: float
    collar: float
    hat: float
    glasses: float
    backdrop: tuple[float, ...]
    structure: float


@dataclass(frozen=True)
class Camera:
    """What the picture-taking adds: gain and contrast around 1, noise in grey levels, blur in pixels."""

    gain: float
    contrast: float
    warmth: float
    noise: float
    blur: float
    grain_seed: int


@dataclass(frozen=True)
class Face:
    """Everything a portrait is painted from; `chosen` holds the attributes that are not derived."""

    chosen: frozenset[str]
    pose: Pose
    light: Light
    shape: Shape
    style: Style
    camera: Camera

    def has(self, attribute: str) -> bool:
        """Return whether a chosen attribute holds."""
        return attribute in self.chosen

    @property
    def attributes(self) -> frozenset[str]:
        """The names, among CelebA's 40, of all attributes that hold."""
        derived = set()
        if not self.chosen & BEARDS:
            derived.add("No_Beard")
        if self._attraction() > 0.0:
            derived.add("Attractive")
        return self.chosen | derived

    def _attraction(self) -> float:
        flattering = {
            "Heavy_Makeup": 0.5,
            "Young": 1.0,
            "Oval_Face": 0.3,
            "Smiling": 0.1,
            "High_Cheekbones": 0.2,
        }
        unflattering = {"Blurry": 1.0, "Chubby": 0.8, "Double_Chin": 0.6, "Bald": 0.5, "Big_Nose": 0.4}
        unflattering |= {"Bags_Under_Eyes": 0.3, "Eyeglasses": 0.5, "Gray_Hair": 0.4, "Male": 0.35}
        score = sum(flattering.get(name, 0.0) - unflattering.get(name, 0.0) for name in sorted(self.chosen))
        return score - 0.75 - 0.4 * abs(self.shape.asymmetry)
