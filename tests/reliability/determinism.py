from tests.reliability.campaign import Part
PART = Part("determinism", "", lambda b: [], 0, 0)
