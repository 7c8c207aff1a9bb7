from tests.reliability.campaign import Part
PART = Part("writers", "", lambda b: [], 0, 0)
