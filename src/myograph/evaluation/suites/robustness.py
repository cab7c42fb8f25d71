"""The suite `robustness`."""

from __future__ import annotations

from myograph.evaluation.disturbed import LEVELS
from myograph.evaluation.suite import SUITES, Method, Suite


@SUITES.register
def robustness(methods: tuple[str, ...] = ("lda", "lda_svm", "knn"), datasets: tuple[str, ...] = ("present",)) -> Suite:
    """Disturbances at test time: lost channels, rotated electrodes, noise, mains, saturation, and other effort.

    Methods are trained on undisturbed windows; the page shows a curve of each over the level of each disturbance.

    >>> suite = robustness(methods=("lda",), datasets=("simulated",))
    >>> suite.methods[1].label, suite.methods[1].disturbance
    ('lda, dropout 1', ('dropout', 1))
    """
    disturbed = tuple(
        Method(method, label=f"{method}, {kind} {level:g}", disturbance=(kind, level))
        for method in methods
        for kind, levels in LEVELS.items()
        for level in levels
    )
    return Suite("robustness", methods=disturbed, datasets=datasets, protocols=("usual",))
