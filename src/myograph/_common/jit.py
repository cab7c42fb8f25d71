"""`kernel` and `part`: numba's `njit` for the compiled loops of this package.

A `kernel` is called from Python. It is compiled at the first call for the types of its arguments, and cached on disk. A
`part` is called only by kernels: it is compiled into each of them and has no separate entry on disk or in Python, which
saves a third of the compilation time.

`myograph._common.compiler` implements this with undocumented parts of numba. If a version of numba lacks one of them, a
warning names it, and numba's own `njit` compiles the same loops with the same results; compilation then takes longer,
and damaged files of its cache are not detected.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numba

_compiler: Any = None
try:
    from myograph._common import compiler

    _compiler = compiler
except (ImportError, AttributeError) as _error:
    warnings.warn(
        f"numba {numba.__version__} differs from the versions that myograph knows ({_error}): its loops compile more "
        "slowly, with the same results; a version of numba that this version of myograph was tested with avoids that",
        RuntimeWarning,
        stacklevel=2,
    )

__all__ = ["kernel", "njit", "part"]


def njit(cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function with numba's options; `cache` stores the result on disk."""
    if _compiler is None:
        return numba.njit(cache=cache, **options)
    return functools.partial(_compiler.loop, cache=cache, options=options)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that is called from Python, without the interpreter's lock; division by zero gives infinity or
    NaN.
    """
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def part(function: Callable[..., Any] | None = None, *, inline: str = "never") -> Any:
    """Compile a function that only kernels call. With `inline="always"` it is inlined."""
    if function is None:
        return functools.partial(part, inline=inline)
    options = {"nogil": True, "error_model": "numpy", "inline": inline}
    return numba.njit(**options)(function) if _compiler is None else _compiler.inner_loop(function, options)
