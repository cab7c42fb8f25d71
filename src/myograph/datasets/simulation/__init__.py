"""A physiological simulator of surface EMG: motor units, a volume conductor, electrodes, people and days."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "Electrodes": "physics",
    "Limb": "physics",
    "MotorUnits": "physics",
    "contract": "physics",
    "discharges": "physics",
    "potentials": "physics",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
