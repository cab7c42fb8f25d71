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


def test_modules_of_version_0_1_0_are_found_under_their_old_names():
    with pytest.warns(DeprecationWarning, match="import myograph.preprocessing.filters"):
        from myograph.filters import HighPass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from myograph.preprocessing.filters import HighPass as same
    assert HighPass is same
    with pytest.raises(ModuleNotFoundError):
        import myograph.filtres  # noqa: F401
