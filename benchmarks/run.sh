#!/bin/sh
# All benchmarks in turn, each beside its peers on one thread; tables go to benchmarks/results/ and to the screen.
# One that fails, or whose bars are missed, does not keep the others from running.
cd "$(dirname "$0")/.." || exit 1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTHON=${PYTHON:-.venv/bin/python}
failed=""
sh benchmarks/peers.sh || failed="peers"
for name in features bursts_spectral training spine; do
    test -f "benchmarks/$name.py" || continue
    echo "== $name"
    "$PYTHON" "benchmarks/$name.py" || failed="$failed $name"
done
test -z "$failed" || { echo "failed:$failed" >&2; exit 1; }
