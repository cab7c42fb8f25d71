"""The suite `field`."""

from __future__ import annotations

from myograph.evaluation.suite import SUITES, Suite


@SUITES.register
def field(methods: tuple[str, ...] = ("all",), datasets: tuple[str, ...] = ("present",)) -> Suite:
    """Every method on every data set whose files are there, under each data set's honest protocols.

    >>> suite = field(datasets=("simulated",))
    >>> len(suite.methods) > 20, suite.protocols
    (True, ('honest',))
    """
    return Suite("field", methods=methods, datasets=datasets, protocols=("honest",))
