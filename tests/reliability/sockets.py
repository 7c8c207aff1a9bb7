from tests.reliability.campaign import Part
PART = Part("sockets", "", lambda b: [], 0, 0)
