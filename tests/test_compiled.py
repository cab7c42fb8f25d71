import os
import subprocess
import sys

import pytest

CODE = """
import time
from numba.core import event
from myograph._common import jit as _compiled

class Dispatcher:
    class py_func:
        __module__ = {module!r}

data = dict(dispatcher=Dispatcher)
for seconds in {seconds}:
    with event.trigger_event("numba:compile", data=data), event.trigger_event("numba:compile", data=data):
        time.sleep(seconds)
"""


def said(module, *seconds):
    code = CODE.format(module=module, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.count("compiling its fast loops, once")


def test_slow_compiling_is_said_once():
    assert said("myograph.features._fast.kernels", 0.2) == 0
    assert said("myograph.features._fast.kernels", 0.6, 0.8, 1.1) == 1  # neither of the first two alone takes a second
    assert said("somebody.elses", 1.3) == 0


@pytest.mark.slow
def test_a_first_call_that_compiles_says_so_and_the_next_does_not(tmp_path):
    code = "import numpy as np; from myograph.preprocessing import bursts; bursts.EnergyStream(1, 80).push(np.ones((1, 9)))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stderr
        for _ in range(2)
    )
    assert "compiling" in first
    assert not second
