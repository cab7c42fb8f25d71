"""The networks: each file holds one family, and its factories are registered in `MODELS`.

A factory is called as `factory(n_channels, n_classes, n_samples, **options)` and returns a `torch.nn.Module`. The
module takes windows (batch, channel, time) in float32 and returns logits (batch, n_classes). A factory raises
`ShapeError` for a window size that the network cannot take and `ConfigError` for an invalid option. The layer that
returns the logits is always named `head`, and no other weight depends on the number of classes. The
body of a trained network can therefore be reused with a new head: copy every weight whose name does not start with
"head.".

The facts about a network stand next to its factory:

    @MODELS.register(
        published=Published(channels=10, samples=15, classes=53, parameters=84_853, source="doi:10.3389/..."),
        checked=Checked(sizes=[(8, 50), (1, 20)]),
    )
    def my_net(n_channels, n_classes, n_samples): ...

Both arguments are optional. The cost of a network registered with a bare `@MODELS.register` is counted for the window
size `USUAL`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from myograph._common.registry import Factory, Registry


@dataclass(frozen=True)
class Published:
    """The published size of a network.

    Parameters
    ----------
    channels, samples, classes : size of a window, and number of classes.
    source : DOI, arXiv number or code from which the network was written.
    parameters : number of parameters that the source states or that follows from its table; None if it states none.
    extra : number of further parameters in this implementation, such as the second bias of torch's LSTM; `note`
        explains.
    options : options of the factory for the published variant.

    >>> MODELS.published("atzori").parameters
    84853
    """

    channels: int
    samples: int
    classes: int
    source: str = ""
    parameters: int | None = None
    extra: int = 0
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """The settings with which `myograph.testing.check_model` checks a network.

    Parameters
    ----------
    sizes : (channels, samples) of the windows; the network must take the first. Large sizes are slow.
    options : options of the factory for a small variant.
    idle : glob patterns of the parameters that receive no gradient by design.

    >>> MODELS.checked("zhai").sizes[0]
    (2, 25)
    """

    sizes: Sequence[tuple[int, int]] = ((8, 50), (4, 200), (1, 20))
    options: Mapping[str, Any] = field(default_factory=dict)
    idle: Sequence[str] = ()


USUAL = Published(8, 52, 7)


class Models(Registry):
    """The registry of networks, with the facts given at registration.

    >>> MODELS.create("m5", n_channels=8, n_classes=7, n_samples=50).head
    Linear(in_features=32, out_features=7, bias=True)
    >>> MODELS.published("m5").source, MODELS.checked("m5").sizes[0]
    ('CNN-HD-sEMG-Classifier, MIC Laboratory', (8, 50))
    """

    def __init__(self) -> None:
        super().__init__("model", package="myograph.models", variable="MODELS")
        self._published: dict[str, Published] = {}
        self._checked: dict[str, Checked] = {}

    def register(
        self, given: str | Factory | None = None, *, published: Published | None = None, checked: Checked | None = None
    ) -> Any:
        """Decorate a factory; its name is the function's name, or `given`.

        Parameters
        ----------
        given : the name, or the factory itself for a bare `@MODELS.register`.
        published, checked : facts about the network.

        >>> models = Models()
        >>> @models.register(published=Published(8, 50, 7))
        ... def my_net(n_channels, n_classes, n_samples): ...
        >>> models.published("my_net").channels
        8
        """
        if callable(given):
            return super().register(given)

        def keep(factory: Factory) -> Factory:
            name = given or factory.__name__
            if published is not None:
                self._published[name] = published
            if checked is not None:
                self._checked[name] = checked
            return self.add(name, factory)

        return keep

    def published(self, name: str) -> Published | None:
        """Return the published size of a network, or None if it has none; UnknownNameError for an unknown name."""
        self[name]
        return self._published.get(name)

    def checked(self, name: str) -> Checked:
        """Return the settings for checking a network; UnknownNameError for an unknown name."""
        self[name]
        return self._checked.get(name, Checked())


MODELS = Models()
