import hashlib
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
    return done.stderr.count("compiling numerical kernels once")


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


USES_A_KERNEL = """
import numpy as np
from myograph._common.content import marks_of
from myograph.features._dwt import dwt
print(marks_of(np.sin(np.arange(400.0) ** 1.5)[None], 60).at.tolist())
print(dwt(np.arange(8.0)[None], np.array([0.5, 0.5]), np.array([0.5, -0.5]))[0].tolist())
"""


def run_with_cache(folder, code=USES_A_KERNEL, **more):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), **more}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:100] + b"\xff\x00\x7f" + b[103:], lambda b: b""]
)
def test_a_damaged_cache_is_compiled_again_and_written_again(tmp_path, damage):
    sound = run_with_cache(tmp_path)
    files = {f: f.read_bytes() for f in tmp_path.rglob("*.nb?")}
    assert len(files) == 4  # the index and the code of two kernels, all damaged at once
    for file, content in files.items():
        file.write_bytes(damage(content))
    assert run_with_cache(tmp_path) == sound
    for file in files:
        content = file.read_bytes()
        assert hashlib.sha256(file.name.encode() + b"\0" + content[32:]).digest() == content[:32]


@pytest.mark.slow
def test_the_code_of_another_loop_is_not_run(tmp_path):
    sound = run_with_cache(tmp_path)
    one, other = sorted(tmp_path.rglob("*.nbc"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert run_with_cache(tmp_path) == sound


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run_with_cache(blocked / "below", HOME=str(blocked), XDG_CACHE_HOME=str(blocked)) == run_with_cache(tmp_path)


def test_the_key_of_a_kernel_follows_the_sources_that_it_is_made_from(monkeypatch):
    from myograph._common import compiler, simd
    from myograph.features._fast import kernels

    def key():
        compiler._sources.cache_clear()
        return compiler._sources("myograph.features._fast.kernels")

    before = key()
    assert key() == before
    monkeypatch.setattr(kernels, "EXP_FLOOR", -700.0)  # a constant from another module is compiled in
    assert key() != before
    monkeypatch.undo()
    monkeypatch.setattr(simd, "__file__", __file__)  # as if the file had changed
    assert key() != before
    monkeypatch.undo()
    assert key() == before


WITHOUT_INTERNALS = """
import warnings
import numba.core.codegen
del numba.core.codegen.JITCodeLibrary  # as a later numba might
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from myograph._common.jit import kernel, part
assert any("JITCodeLibrary" in str(w.message) and "same results" in str(w.message) for w in caught), caught
@part
def square(x):
    return x * x
@kernel
def total(x):
    found = 0.0
    for i in range(len(x)):
        found += square(x[i]) / (i - 1.0)
    return found
import numpy as np
print(total(np.arange(4.0)))
"""


def test_a_numba_without_the_internals_compiles_the_same_loops_with_a_warning(tmp_path):
    script = tmp_path / "loops.py"  # numba keeps only what comes from a file
    script.write_text(WITHOUT_INTERNALS)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "inf"  # 0 / -1 + 1 / 0 + 4 / 1 + 9 / 2: no ZeroDivisionError
