from tests.reliability.campaign import Part
PART = Part("memory", "", lambda b: [], 0, 0)
