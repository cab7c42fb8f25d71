"""Prediction with the classical methods: one window, as live, and a batch. Run: python benchmarks/predict.py

The input is a window of 12 channels x 300 samples, the output a label. Timed alternately: the pipeline with
scikit-learn's classifier, the same pipeline with ours, and a stream of windows.
The training windows overlap, so the forest is deep and there are many support vectors. The labels are compared, too.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from _harness import ONE_THREAD, Row, cpu_s, in_turn, write

os.environ.update(ONE_THREAD)

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from myograph import Windowing, methods
from myograph.live._predict import StreamPredictor

CHANNELS, SAMPLES, CLASSES, TRAIN, BATCH = 12, 300, 17, 4000, 20_000
BARS_MS = {"lda": 0.1, "random_forest": 0.2, "svm": 1.0}
PEERS = {
    "FastSVC": SVC,
    "FastRandomForest": RandomForestClassifier,
}


def windows(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise whose level by channel is the class's own, and differs from window to window by a third."""
    level = np.random.default_rng(7).uniform(10, 60, (CLASSES, CHANNELS))
    y = rng.integers(0, CLASSES, n)
    gain = level[y] * np.exp(0.33 * rng.standard_normal((n, CHANNELS)))
    return (rng.standard_normal((n, CHANNELS, SAMPLES), dtype=np.float32) * gain[:, :, None]).astype(np.float32), y


def one_by_one(predict: Callable[[np.ndarray], Any], X: np.ndarray) -> float:
    """Median seconds of one call, over the windows."""
    seen = []
    for window in X:
        begin = time.perf_counter()
        predict(window)
        seen.append(time.perf_counter() - begin)
    return statistics.median(seen)


def alone_in(estimator: Any) -> Callable[[np.ndarray], Any]:
    """One window as a batch of one."""
    return lambda window: estimator.predict(window[None])


def on_stream(estimator: Any) -> Callable[[np.ndarray], Any]:
    """One window as the next samples of a stream, as a live decoder predicts it."""
    classes = tuple(str(c) for c in estimator.classes_)
    windowing = Windowing(SAMPLES, SAMPLES)  # at 1000 Hz
    predictor = StreamPredictor(estimator, classes, windowing, 1000.0, CHANNELS)

    def predict(window: np.ndarray) -> Any:
        predictor.push(window)
        return estimator.classes_[predictor.answer(window[None])[0]]

    return predict


def scikit_learns(pipeline: Pipeline) -> Pipeline:
    """The same fitted pipeline with scikit-learn's classifier in the place of ours."""
    ours = pipeline[-1]
    kind = PEERS.get(type(ours).__name__, type(ours))
    peer = kind(**ours.get_params())
    peer.__dict__.update(ours.__dict__)
    return Pipeline([*pipeline.steps[:-1], (pipeline.steps[-1][0], peer)])


def main() -> None:
    rng = np.random.default_rng(0)
    X, y = windows(TRAIN, rng)
    live, _ = windows(300, rng)
    many, _ = windows(BATCH, rng)
    rows = []
    for name in ("lda", "svm", "random_forest", "knn", "lda_svm"):
        ours = getattr(methods, name)(feature_options={"rate_hz": 1000.0}).fit(X, y)
        predict = on_stream(ours)
        same = [predict(w) for w in live] == ours.predict(live).tolist()
        alone = not isinstance(ours, Pipeline)
        peer = ours if alone else scikit_learns(ours)
        same = same and ours.predict(live).tolist() == peer.predict(live).tolist()
        few = live[:60] if name == "random_forest" else live
        theirs, through, fast = in_turn(
            partial(one_by_one, alone_in(peer), few),
            partial(one_by_one, alone_in(ours), live),
            partial(one_by_one, predict, live),
            rounds=7,
        )
        note = f"{'same labels' if same else 'LABELS DIFFER'}; pipeline.predict {1e3 * through:.3g} ms"
        note += "" if alone else f", with scikit-learn's classifier {1e3 * theirs:.3g} ms"
        rows.append(Row(f"{name}, one window", 1e3 * fast, BARS_MS.get(name), "ms", True, note))
        if alone or name == "knn":
            continue
        table = ours[:-1].transform(many)
        batch, batch_theirs = in_turn(*(partial(cpu_s, partial(p[-1].predict, table)) for p in (ours, peer)), rounds=3)
        same = bool((ours[-1].predict(table) == peer[-1].predict(table)).all())
        note = f"{'same labels' if same else 'LABELS DIFFER'}; {batch:.3g} s against {batch_theirs:.3g} s of CPU time"
        size = f", {len(ours[-1].support_)} support vectors" if name == "svm" else ""
        rows.append(Row(f"{name}, {BATCH:,} rows at once{size}", batch_theirs / batch, None, "x", False, note))
    about = f"{CHANNELS} channels x {SAMPLES} samples, {CLASSES} classes, fitted on {TRAIN} windows, one thread"
    print(write("predict", "Prediction of windows by the classical methods", rows, input=about))


if __name__ == "__main__":
    main()
