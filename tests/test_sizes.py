"""No file and no function of the project is too long to be read at once."""

from pathlib import Path

import pytest

from myograph.testing.sizes import LONGEST_FILE, LONGEST_FUNCTION, check_sizes

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("over", [0, 1])
def test_the_limits_are_inclusive(tmp_path, over):
    (tmp_path / "file.py").write_text("x = 1\n" * (LONGEST_FILE + over))
    (tmp_path / "function.py").write_text(
        "class C:\n    def f(self):\n" + "        x = 1\n" * (LONGEST_FUNCTION - 1 + over)
    )
    found = check_sizes(tmp_path)
    assert found.files == [("file.py", LONGEST_FILE + 1)] * over
    assert found.functions == [("function.py", "f", LONGEST_FUNCTION + 1)] * over
    assert found.ok is not bool(over)


def test_kernels_are_exempt(tmp_path):
    (tmp_path / "features" / "_fast").mkdir(parents=True)
    (tmp_path / "features" / "_fast" / "file.py").write_text("x = 1\n" * (LONGEST_FILE + 1))
    assert check_sizes(tmp_path).ok


def test_no_file_and_no_function_is_too_long():
    found = [check_sizes(ROOT / folder) for folder in ("src", "tests", "benchmarks")]
    assert all(f.ok for f in found), found
