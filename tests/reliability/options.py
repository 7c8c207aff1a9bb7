from tests.reliability.campaign import Part
PART = Part("options", "", lambda b: [], 0, 0)
