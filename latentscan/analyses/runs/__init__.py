"""Whether runs of other kinds are as near one another as other seeds of one kind are."""

from latentscan.analyses.runs.analysis import RUNS, runs

__all__ = ["RUNS", "runs"]
