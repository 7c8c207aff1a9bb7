from tests.reliability.campaign import Part
PART = Part("models", "", lambda b: [], 0, 0)
