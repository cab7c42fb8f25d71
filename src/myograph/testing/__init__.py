"""Checks that every registered model passes and that you can run on your own, and small made-up data for examples.

>>> from myograph.testing import check_model
>>> check_model(my_factory)  # doctest: +SKIP

`python -m myograph.testing imports` checks that the package's imports run downwards, and `python -m myograph.testing
sizes` that no file and no function is too long. `python -m myograph.testing listings` writes the table from which
`myograph recipes` and `myograph models list` answer; run it after you add or change a recipe or a network.
"""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "check_imports": "imports",
    "check_model": "models",
    "check_sizes": "sizes",
    "imports_of": "imports",
    "make_recording": "examples",
    "make_windows": "examples",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
