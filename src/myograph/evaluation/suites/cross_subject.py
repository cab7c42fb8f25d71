"""The suite `cross-subject`."""

from __future__ import annotations

from myograph.evaluation.suite import SUITES, Suite
from myograph.protocols import LeaveOneSubjectOut

CALIBRATION = (0, 1, 2, 4)


@SUITES.register("cross-subject")
def cross_subject(
    methods: tuple[str, ...] = ("lda", "lda_svm", "myonet"), datasets: tuple[str, ...] = ("present",)
) -> Suite:
    """New people: 0, 1, 2 and 4 repetitions of the tested person for calibration, tested on the same repetitions.

    Every calibrated score is reported together with the score of the calibration repetitions alone ("target only").

    >>> [protocol.calibration_repetitions for protocol in cross_subject(datasets=("simulated",)).protocols]
    [0, 1, 2, 4]
    """
    most = max(CALIBRATION)
    protocols = tuple(LeaveOneSubjectOut(calibration_repetitions=n, reserved_repetitions=most) for n in CALIBRATION)
    return Suite("cross-subject", methods=methods, datasets=datasets, protocols=protocols)
