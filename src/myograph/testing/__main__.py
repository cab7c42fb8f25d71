"""`python -m myograph.testing imports` and `sizes`: is the package built as it should be? `listings` writes a table."""

from __future__ import annotations

import sys
from pathlib import Path

from myograph._common.files import write_json
from myograph.cli import listings
from myograph.testing.imports import check_imports
from myograph.testing.sizes import check_sizes

USAGE = """usage: python -m myograph.testing imports
       python -m myograph.testing sizes [FOLDER ...]
       python -m myograph.testing listings      write the file from which the command line lists recipes and networks"""


def main() -> int:
    """Print what was found; the exit status is 1 where a rule is broken, 2 for a wrong call."""
    match sys.argv[1:]:
        case ["imports"]:
            found = check_imports()
        case ["sizes", *folders]:
            found = check_sizes(*map(Path, folders))
        case ["listings"]:
            write_json(
                Path(listings.__file__).with_name("listings.json"),
                {kind: listings.make(kind) for kind in ("models", "recipes")},
            )
            return 0
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    print("\n".join(found.lines()))
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
