"""Files from outside the store are part of the stage key, by content."""

from pathlib import Path

import pytest

from appo_core.config import DataSettings, DemoSource, FileSource, LocalModel, TinyModel
from tasks.errors import StageError
from tasks.sources import data_sources, digest, model_sources


def test_changed_content_changes_the_digest_and_a_new_name_of_the_folder_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "rows").write_text("1")
    first = digest(str(folder))
    folder.rename(tmp_path / "b")
    assert digest(str(tmp_path / "b")) == first
    (tmp_path / "b" / "rows").write_text("2")
    assert digest(str(tmp_path / "b")) != first
    (tmp_path / "b" / "rows").rename(tmp_path / "b" / "other")
    assert digest(str(tmp_path / "b")) != digest(str(tmp_path / "b" / "other"))


def test_the_demo_reads_no_files(tmp_path: Path) -> None:
    assert data_sources(DataSettings(source=DemoSource())) == {}
    assert model_sources(TinyModel()) == {}


def test_every_file_of_a_file_source_counts(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    train, valid, cache = (str(tmp_path / name) for name in "abc")
    source = FileSource(rl_train=(train,), rl_valid=(valid,), search_cache=cache)
    assert set(data_sources(DataSettings(source=source))) == {train, valid, cache}


def test_a_missing_file_or_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"absent\.parquet does not exist"):
        data_sources(DataSettings(source=FileSource(rl_train=(str(tmp_path / "absent.parquet"),))))
    with pytest.raises(StageError, match=r"base_model\.path: .* holds no config\.json"):
        model_sources(LocalModel(path=str(tmp_path)))


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(StageError, match="nowhere"):
        digest("nowhere://x/y")
