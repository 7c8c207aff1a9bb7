"""What the losses of a training are made of."""

from latentscan.analyses.ledger.analysis import LEDGER, ledger

__all__ = ["LEDGER", "ledger"]
