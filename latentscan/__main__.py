"""Run the command line as `python -m latentscan`."""

from latentscan.cli import main

if __name__ == "__main__":
    main()
