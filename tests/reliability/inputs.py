from tests.reliability.campaign import Part
PART = Part("inputs", "", lambda b: [], 0, 0)
