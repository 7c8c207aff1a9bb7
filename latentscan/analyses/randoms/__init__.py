"""Which random z-points a decoder turns into images like the real ones."""

from latentscan.analyses.randoms.analysis import RANDOMS, randoms

__all__ = ["RANDOMS", "randoms"]
