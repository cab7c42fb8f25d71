"""From a recipe to a `Decoder`: the recipe's method fitted on all of its recordings, with its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myograph._common.progress import Progress
from myograph.errors import ConfigError
from myograph.evaluation.prepared import make_method, prepare, read
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.scores import Scores
from myograph.live.decoder import Decoder
from myograph.live.postprocess import PostProcessor
from myograph.recording import Recording
from myograph.windows import Windowing


def fit_decoder(
    recipe: Recipe,
    recordings: Sequence[Recording] | None = None,
    scores: Scores | None = None,
    post: Sequence[PostProcessor] = (),
    progress: Progress | None = None,
) -> Decoder:
    """Fit the recipe's method on every window of every recording, and return it as a Decoder.

    The decoder is fitted on all data, so its accuracy on them has no meaning. `scores`, from `evaluate` of the same
    recipe, state the accuracy on unseen data, and are stored in the decoder.

    Parameters
    ----------
    recipe : the recipe.
    recordings : unfiltered recordings; None reads those of the recipe's data set.
    scores : scores of the same recipe, or None.
    post : post-processors of the decoder.
    progress : called as progress(message, done, total).

    Raises
    ------
    ConfigError : the recipe's windowing is not a `Windowing`, a filter is not causal, or recordings differ in kind.

    >>> from myograph import Recipe
    >>> from myograph.testing import make_recording
    >>> decoder = fit_decoder(Recipe("example", "mine", method="lda", rest="keep"), [make_recording()])
    >>> decoder.classes
    ('fist', 'rest')
    """
    if not isinstance(recipe.windowing, Windowing):
        raise ConfigError(
            f"a decoder needs windows at a constant step, but the recipe {recipe.name!r} has {recipe.windowing!r}; "
            "choose a "
            "recipe with Windowing(...)"
        )
    recordings = read(recipe, progress) if recordings is None else list(recordings)
    windows = prepare(recipe, recordings, progress)
    if progress:
        progress("fitting on all recordings", 0, 1)
    return Decoder.learn(
        make_method(recipe),
        windows,
        recordings,
        tuple(recipe.filters),
        recipe.windowing,
        tuple(post),
        {"recipe": recipe.as_dict(), "method": _name(recipe.method)},
        None if scores is None else scores.as_dict(),
    )


def _name(method: Any) -> str:
    return method if isinstance(method, str) else type(method).__name__
