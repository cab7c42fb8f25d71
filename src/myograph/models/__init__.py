"""The networks: each file here holds one family, and its factories register themselves in `MODELS`.

A factory is called as `factory(n_channels, n_classes, n_samples, **options)` and returns a `torch.nn.Module` that takes
windows (batch, channel, time) in float32 and returns logits (batch, n_classes). It raises `ShapeError` for a window
size that the network cannot take and `ConfigError` for an unknown value of an option. The layer that makes the
logits is always named `head`: no other weight depends on the number of classes, so a trained body takes a new head by
copying every weight whose name does not start with "head.".

What is known about a network stands next to its factory:

    @MODELS.register(
        published=Published(channels=10, samples=15, classes=53, parameters=84_853, source="doi:10.3389/..."),
        checked=Checked(sizes=[(8, 50), (1, 20)]),
    )
    def my_net(n_channels, n_classes, n_samples): ...

Both may be left out, and `@MODELS.register` alone will do: such a network is counted on `USUAL`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from myograph._common.registry import Factory, Registry


@dataclass(frozen=True)
class Published:
    """The size that a network was published for.

    Parameters
    ----------
    channels, samples, classes : of one window and its labels.
    source : DOI, arXiv number or code from which the network was written.
    parameters : the count that the source states (or that follows from its table); None where it states none.
    extra : how many parameters more this implementation has, such as the second bias of torch's LSTM; `note` says why.
    options : of the factory, for the published variant.
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
    """What `myograph.testing.check_model` needs to know about a network.

    Parameters
    ----------
    sizes : (channels, samples) on which the network is checked, the first of which it takes; large ones are slow.
    options : of the factory, for a small variant.
    idle : globs of the parameters that receive no gradient by design.
    """

    sizes: Sequence[tuple[int, int]] = ((8, 50), (4, 200), (1, 20))
    options: Mapping[str, Any] = field(default_factory=dict)
    idle: Sequence[str] = ()


USUAL = Published(8, 52, 7)


class Models(Registry):
    """The registry of networks; it keeps each factory with the facts given at registration."""

    def __init__(self) -> None:
        super().__init__("model", package="myograph.models", variable="MODELS")
        self._published: dict[str, Published] = {}
        self._checked: dict[str, Checked] = {}

    def register(
        self, given: str | Factory | None = None, *, published: Published | None = None, checked: Checked | None = None
    ) -> Any:
        """Decorate a factory, which is named after its function or by `given`."""
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
        """The published size of a network, or None where it has none (UnknownNameError for an unknown name)."""
        self[name]
        return self._published.get(name)

    def checked(self, name: str) -> Checked:
        """On what a network is checked (UnknownNameError for an unknown name)."""
        self[name]
        return self._checked.get(name, Checked())


MODELS = Models()
