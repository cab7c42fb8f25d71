"""The suite `field`."""

from __future__ import annotations

from typing import cast

from myograph.datasets.load import locate
from myograph.evaluation.suite import SUITES, Data, Method, Suite
from myograph.models import MODELS

SETTINGS = ("windowing.step_ms=100",)
APART = (
    "windowing.step_ms=500",
)  # of networks: one window of 64 electrodes costs the largest of them 6 billion operations
EPOCHS, BATCH_SIZE, PEOPLE = 3, 32, 2


@SUITES.register
def field(methods: tuple[str, ...] = ("classical",), datasets: tuple[str, ...] = ("present",)) -> Suite:
    """Every method on every data set whose files are present, sized for three hours on two processor cores.

    Classical methods are run on all people under every honest protocol, with a window every 100 ms. Networks are trained
    for 3 epochs, in batches of 32, on the first two people of each data set under its default protocol, with a window
    every 500 ms: enough to see that each of them runs, but too little to rank them. `lda` on the same windows is added for
    comparison.

    >>> suite = field(datasets=("simulated",))
    >>> "lda" in [method.name for method in suite.methods], suite.protocols, suite.also[0].datasets[0].subjects
    (True, ('honest',), ('1', '2'))
    """
    classical = Suite("field", methods, datasets, ("honest",), settings=SETTINGS)
    networks = Suite(
        "networks",
        ("lda", *(Method(name, {"epochs": EPOCHS, "batch_size": BATCH_SIZE}) for name in MODELS)),
        tuple(_first_people(data) for data in cast(tuple[Data, ...], classical.datasets)),
        settings=APART,
    )
    return Suite("field", methods, datasets, ("honest",), settings=SETTINGS, also=(networks,))


def _first_people(data: Data) -> Data:
    dataset = data.dataset()
    people = tuple(dataset.subjects(locate(dataset))[:PEOPLE])
    return Data(data.name, data.options, people, f"{data.label or data.name} ({len(people)} of its people)")
