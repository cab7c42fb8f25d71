"""`python -m myograph.cli`: the command line if its script is not on the path."""

from __future__ import annotations

from myograph.cli.app import main

if __name__ == "__main__":
    main()
