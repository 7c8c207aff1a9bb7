from tests.reliability.campaign import Part
PART = Part("numerics", "", lambda b: [], 0, 0)
