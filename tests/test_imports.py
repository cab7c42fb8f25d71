"""Imports run downwards: no circle, no upward import, few entries at the top (see docs/architecture.md)."""

import warnings

import pytest

from myograph.testing import check_imports


def test_the_package_keeps_the_rules():
    found = check_imports()
    assert found.ok, "\n".join(found.lines())


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_circle_an_upward_import_and_an_unknown_entry_are_found(tmp_path):
    write(
        tmp_path,
        {
            "__init__.py": "",
            "models/__init__.py": "",
            "models/a.py": "def f():\n    from myograph.models.b import g\n",
            "models/b.py": "from myograph.models import a\n",
            "windows.py": "if TYPE_CHECKING:\n    from myograph.models.a import f\n",
            "recording.py": "import myograph.windows\n",
            "gadgets.py": "",
        },
    )
    found = check_imports(tmp_path)
    assert found.circles == [["myograph.models.a", "myograph.models.b"]]
    assert found.upward == [("myograph.recording", "myograph.windows")]
    assert found.unknown == ["gadgets"]
    assert found.entries == ["gadgets", "models"]
    assert not found.ok


def test_imports_of_what_is_private_to_another_folder_are_refused(tmp_path):
    write(
        tmp_path,
        {
            "_common/files.py": "from myograph._common._locks import hold\n",
            "_common/_locks.py": "",
            "features/wavelet.py": "from ._dwt import dwt\nfrom myograph._common.files import write\n",
            "features/_dwt.py": "from myograph import __version__\n",
            "features/_fast/plan.py": "from myograph.features import _dwt\nfrom ..wavelet import _level\n",
            "training/__init__.py": "",
            "training/_memory.py": "",
            "methods/linear.py": (
                "import myograph.training._memory\n"
                "def f():\n    from ..training import _memory\n    from ..features._fast.plan import make\n"
                "if TYPE_CHECKING:\n    from myograph.features._dwt import dwt\n"
            ),
            "live/stream.py": "from myograph._common._locks import hold\nfrom numpy._typing import ArrayLike\n",
        },
    )
    found = check_imports(tmp_path)
    assert found.private == [
        ("myograph.features._fast.plan", "myograph.features.wavelet._level"),
        ("myograph.live.stream", "myograph._common._locks.hold"),
        ("myograph.methods.linear", "myograph.features._fast.plan.make"),
        ("myograph.methods.linear", "myograph.training._memory"),
    ]
    assert not found.ok
    assert "4 imports of what is private to another folder or module" in found.lines()
    assert found.circles == found.upward == found.unknown == []


def test_relative_imports_count_as_others(tmp_path):
    write(
        tmp_path,
        {
            "models/__init__.py": "from . import a\nfrom .a import g\n",
            "models/a.py": "from .b import g\n",
            "models/b.py": "from . import a\nfrom ..methods import linear\n",
            "methods/linear.py": "",
        },
    )
    found = check_imports(tmp_path)
    assert found.circles == [["myograph.models.a", "myograph.models.b"]]
    assert found.upward == [("myograph.models.b", "myograph.methods.linear")]


def test_modules_of_version_0_1_0_are_found_under_their_old_names():
    with pytest.warns(DeprecationWarning, match="import myograph.preprocessing.filters"):
        from myograph.filters import HighPass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from myograph.preprocessing.filters import HighPass as same
    assert HighPass is same
    with pytest.raises(ModuleNotFoundError):
        import myograph.filtres  # noqa: F401
