"""The command line: parse, call one library function, print."""

from latentscan.cli.app import main

__all__ = ["main"]
