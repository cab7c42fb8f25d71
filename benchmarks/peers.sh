#!/bin/sh
# The peers that we compare with, in an environment of their own: LibEMG 2.0.3 pins numpy < 2.
set -e
cd "$(dirname "$0")/.."
test -x build/peers-venv/bin/python || python3 -m venv build/peers-venv
build/peers-venv/bin/python -c "import libemg, tsfel" 2>/dev/null ||
    build/peers-venv/bin/python -m pip install -q "libemg==2.0.3" tsfel "numpy<2" ||
    uv pip install --python build/peers-venv/bin/python "libemg==2.0.3" tsfel "numpy<2"
