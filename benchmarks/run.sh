#!/bin/sh
# All benchmarks in turn, each beside its peers on one thread; tables go to benchmarks/results/ and to the screen.
# One that fails, or whose bars are missed, does not keep the others from running.
# --quick: those of signals and features once each, to see that they run; tables go to build/quick-bench.
cd "$(dirname "$0")/.." || exit 1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTHON=${PYTHON:-.venv/bin/python}
failed=""
run() {
    test -f "benchmarks/$1.py" || return
    echo "== $*"
    script=$1
    shift
    "$PYTHON" "benchmarks/$script.py" "$@" || failed="$failed $script"
}
sh benchmarks/peers.sh || failed=" peers"
if test "$1" = --quick; then
    export MYOGRAPH_BENCH_RESULTS=build/quick-bench
    run features --quick
    run bursts_spectral --rounds 1
else
    for name in features bursts_spectral predict training spine audit live; do run "$name"; done
    unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS # what follows is what a user has: all processors
    run full_size
fi
test -z "$failed" || { echo "failed:$failed" >&2; exit 1; }
