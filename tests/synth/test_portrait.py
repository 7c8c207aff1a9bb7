from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from latentscan.synth.parameters import ATTRIBUTES, BEARDS, DERIVED, HAIR_COLOURS, Face
from latentscan.synth.population import draw_face
from latentscan.synth.portrait import paint

POPULATION = [draw_face(3, index) for index in range(4000)]
ONLY_ON_MEN = {"5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns", "Bald", "Wearing_Necktie"}
COVERING = {
    "Wearing_Hat",
    "Bald",
    "Bangs",
    "Receding_Hairline",
    "Blurry",
    "Eyeglasses",
    "Big_Nose",
    "Pointy_Nose",
}


def bare(face: Face, attribute: str) -> Face:
    """The face without the attribute and without what could hide it."""
    hiding = COVERING | BEARDS | {"Sideburns", "Straight_Hair", "Wavy_Hair", attribute}
    return replace(
        face, chosen=face.chosen - hiding - (set(HAIR_COLOURS) if attribute in HAIR_COLOURS else set())
    )


def test_there_are_celebas_40_attributes_in_its_order() -> None:
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES, key=str.lower)


@pytest.mark.parametrize("attribute", [name for name in ATTRIBUTES if name not in DERIVED])
def test_every_chosen_attribute_shows_in_the_picture(attribute: str) -> None:
    male = attribute in ONLY_ON_MEN
    candidates = [face for face in POPULATION[:200] if face.has("Male") == male and abs(face.pose.yaw) < 0.3]
    for face in candidates[:3]:
        without = bare(face, attribute)
        given = replace(without, chosen=without.chosen | {attribute})
        difference = np.abs(paint(given).astype(int) - paint(without).astype(int)).max(axis=2)
        assert np.count_nonzero(difference > 5) > 20, f"{attribute} changes too few pixels"


def test_no_beard_is_the_complement_of_the_beards() -> None:
    for face in POPULATION:
        assert ("No_Beard" in face.attributes) == face.attributes.isdisjoint(BEARDS)


def test_attractive_follows_from_the_picture() -> None:
    face = next(face for face in POPULATION if "Attractive" in face.attributes)
    spoiled = replace(face, chosen=(face.chosen | {"Blurry", "Chubby", "Double_Chin"}) - {"Young"})
    assert "Attractive" not in spoiled.attributes
    lopsided = replace(face.shape, asymmetry=9.0)
    assert "Attractive" not in replace(face, shape=lopsided).attributes


def test_attributes_do_not_contradict_one_another() -> None:
    for face in POPULATION:
        chosen = face.chosen
        assert chosen <= set(ATTRIBUTES) - DERIVED
        assert len(chosen & set(HAIR_COLOURS)) <= (0 if "Bald" in chosen else 1)
        assert not chosen >= {"Straight_Hair", "Wavy_Hair"}
        assert not chosen >= {"Bangs", "Receding_Hairline"}
        assert "Male" in chosen or chosen.isdisjoint(ONLY_ON_MEN)
        if "Bald" in chosen or "Wearing_Hat" in chosen:
            assert chosen.isdisjoint({"Bangs", "Receding_Hairline"})
        assert not chosen >= {"Bald", "Wearing_Hat"}


def test_attributes_are_about_as_frequent_as_in_celeba() -> None:
    celeba = {
        "5_o_Clock_Shadow": 0.111, "Attractive": 0.513, "Bald": 0.022, "Bangs": 0.152, "Black_Hair": 0.239,
        "Blond_Hair": 0.148, "Blurry": 0.051, "Brown_Hair": 0.205, "Chubby": 0.058, "Eyeglasses": 0.065,
        "Gray_Hair": 0.042, "Heavy_Makeup": 0.387, "Male": 0.417, "Mouth_Slightly_Open": 0.483,
        "No_Beard": 0.835,
        "Smiling": 0.482, "Wavy_Hair": 0.320, "Wearing_Earrings": 0.189, "Wearing_Hat": 0.048,
        "Wearing_Lipstick": 0.472, "Wearing_Necktie": 0.073, "Young": 0.774,
    }  # fmt: skip
    counts = Counter(name for face in POPULATION for name in face.attributes)
    for name, share in celeba.items():
        assert counts[name] / len(POPULATION) == pytest.approx(share, rel=0.25, abs=0.02), name
    assert all(counts[name] > 0 for name in ATTRIBUTES)


def test_a_face_depends_on_seed_and_index_alone() -> None:
    assert draw_face(3, 17) == POPULATION[17]
    assert draw_face(4, 17) != POPULATION[17]
    assert np.array_equal(paint(draw_face(3, 17)), paint(POPULATION[17]))


def test_portraits_are_pictures_in_celebas_size() -> None:
    for face in POPULATION[:40]:
        picture = paint(face)
        assert picture.shape == (218, 178, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 15


def test_extreme_poses_can_be_painted() -> None:
    face = POPULATION[0]
    for yaw, pitch, roll in ((0.9, 0.4, 0.5), (-0.9, -0.4, -0.5), (0.0, 0.0, 0.0)):
        pose = replace(face.pose, yaw=yaw, pitch=pitch, roll=roll, scale=1.3, shift_x=40.0, shift_y=-40.0)
        assert paint(replace(face, pose=pose)).shape == (218, 178, 3)
