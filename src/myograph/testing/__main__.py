"""`python -m myograph.testing imports` and `python -m myograph.testing sizes`: is the package built as it should be?"""

from __future__ import annotations

import sys
from pathlib import Path

from myograph.testing.imports import check_imports
from myograph.testing.sizes import check_sizes


def main() -> int:
    """Print what was found; the exit status is 1 where a rule is broken, 2 for a wrong call."""
    match sys.argv[1:]:
        case ["imports"]:
            found = check_imports()
        case ["sizes", *folders]:
            found = check_sizes(*map(Path, folders))
        case _:
            usage = "usage: python -m myograph.testing imports\n       python -m myograph.testing sizes [FOLDER ...]"
            print(usage, file=sys.stderr)
            return 2
    print("\n".join(found.lines()))
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
