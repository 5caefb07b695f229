import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.artifacts import StoreError, code_digest, stage_key, version_of
from appo_core.artifacts.keys import ParentDigest, canonical_json
from appo_core.config import PipelineSettings

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
settings_dicts = st.dictionaries(st.text(), json_values, max_size=5)


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(settings_dicts)
def test_the_order_of_keys_does_not_matter(settings: dict[str, object]) -> None:
    again = reversed_keys(settings)
    assert isinstance(again, dict)
    assert stage_key("rl", "1", "c", settings) == stage_key("rl", "1", "c", again)


@given(settings_dicts, settings_dicts)
def test_other_settings_give_another_key(one: dict[str, object], two: dict[str, object]) -> None:
    same = canonical_json(one) == canonical_json(two)
    assert (stage_key("rl", "1", "c", one) == stage_key("rl", "1", "c", two)) == same


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4), st.randoms())
def test_the_order_of_parents_does_not_matter(pairs: list[tuple[str, str]], random: object) -> None:
    parents = [ParentDigest(*pair) for pair in pairs]
    shuffled = parents.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert stage_key("rl", "1", "c", {}, parents) == stage_key("rl", "1", "c", {}, shuffled)


def test_every_ingredient_counts() -> None:
    parent = [ParentDigest("model", "a" * 64)]
    keys = {
        stage_key("rl", "1", "c", {}, parent),
        stage_key("sft", "1", "c", {}, parent),
        stage_key("rl", "2", "c", {}, parent),
        stage_key("rl", "1", "d", {}, parent),
        stage_key("rl", "1", "c", {"a": 1}, parent),
        stage_key("rl", "1", "c", {}, [ParentDigest("data", "a" * 64)]),
        stage_key("rl", "1", "c", {}, [ParentDigest("model", "b" * 64)]),
    }
    assert len(keys) == 7
    assert all(len(version_of(key)) == 13 for key in keys)


def test_settings_models_paths_and_sets_have_a_key() -> None:
    mixed = {"model": PipelineSettings(), "path": Path("a/b"), "set": {"b", "a", "c"}, "tuple": (1, 2)}
    plain = {
        "model": PipelineSettings().model_dump(mode="json"),
        "path": "a/b",
        "set": ["a", "b", "c"],
        "tuple": [1, 2],
    }
    assert stage_key("rl", "1", "c", mixed) == stage_key("rl", "1", "c", plain)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1: "a", "b": 2}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        stage_key("rl", "1", "c", {"value": value})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "digested_package"
    (root / "sub").mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    (root / "sub" / "__init__.py").write_text("")
    (root / "sub" / "module.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return root


def test_code_is_digested_without_being_imported(package: Path) -> None:
    assert code_digest("digested_package") == code_digest("digested_package")
    assert code_digest("digested_package.sub.module") != code_digest("digested_package.sub")
    assert "digested_package" not in sys.modules


def test_an_edit_changes_the_digest_and_caches_do_not(package: Path) -> None:
    before = code_digest("digested_package")
    (package / "sub" / "__pycache__").mkdir()
    (package / "sub" / "__pycache__" / "module.cpython-311.pyc").write_bytes(b"x")
    (package / "sub" / ".module.py.swp").write_bytes(b"x")
    assert code_digest("digested_package") == before
    (package / "sub" / "module.py").write_text("VALUE = 2\n")
    assert code_digest("digested_package") != before


def test_a_rename_and_the_order_of_modules(package: Path) -> None:
    both = code_digest("digested_package.sub", "appo_core.config")
    assert both == code_digest("appo_core.config", "digested_package.sub", "appo_core.config.rl")
    (package / "sub" / "module.py").rename(package / "sub" / "other.py")
    assert both != code_digest("digested_package.sub", "appo_core.config")


def test_unknown_modules_are_named() -> None:
    with pytest.raises(StoreError, match=r"module 'appo_core\.nothing' has no source"):
        code_digest("appo_core.nothing")


def test_keys_are_equal_in_another_process() -> None:
    key = "stage_key('rl', '1', code_digest('appo_core.config'), {'a': {'x', 'y'}})"
    program = f"from appo_core.artifacts import code_digest, stage_key; print({key})"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == stage_key("rl", "1", code_digest("appo_core.config"), {"a": ["x", "y"]})
