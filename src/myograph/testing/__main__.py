"""`python -m myograph.testing imports`: do the package's imports run downwards?"""

from __future__ import annotations

import sys

from myograph.testing.imports import check_imports


def main() -> int:
    """Print what was found; the exit status is 1 where an import breaks a rule."""
    if sys.argv[1:] != ["imports"]:
        print("usage: python -m myograph.testing imports", file=sys.stderr)
        return 2
    found = check_imports()
    print("\n".join(found.lines()))
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
