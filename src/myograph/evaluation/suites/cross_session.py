"""The suite `cross-session`."""

from __future__ import annotations

from myograph.evaluation.suite import SUITES, Suite
from myograph.protocols import CrossSession

CALIBRATION = (0, 1)


@SUITES.register("cross-session")
def cross_session(
    methods: tuple[str, ...] = ("lda", "lda_svm", "myonet"), datasets: tuple[str, ...] = ("present",)
) -> Suite:
    """New sessions, days and electrode positions of the same people, without calibration and with one repetition.

    >>> [protocol.calibration_repetitions for protocol in cross_session(datasets=("simulated",)).protocols]
    [0, 1]
    """
    most = max(CALIBRATION)
    protocols = tuple(CrossSession(calibration_repetitions=n, reserved_repetitions=most) for n in CALIBRATION)
    return Suite("cross-session", methods=methods, datasets=datasets, protocols=protocols)
