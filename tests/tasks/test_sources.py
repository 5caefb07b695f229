"""Files from outside the store are part of the stage key, by content."""

import json
from pathlib import Path

import pytest

from appo_core.config import DataSettings, DemoSource, FileSource, LocalModel, TinyModel
from appo_core.config.merge import CheckpointFolder
from tasks.errors import StageError
from tasks.merge import origin
from tasks.sources import data_sources, digest, merge_sources, model_sources


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


def test_of_verl_shards_what_is_merged_counts(tmp_path: Path) -> None:
    actor = tmp_path / "global_step_30" / "actor"
    actor.mkdir(parents=True)
    source = CheckpointFolder(path=str(tmp_path / "global_step_30"), licence="MIT")
    with pytest.raises(StageError, match="is no folder with files"):
        merge_sources(source, base_given=False)
    (actor / "model_world_size_1_rank_0.pt").write_text("1")
    first = merge_sources(source, base_given=False)
    assert set(first) == {source.path}
    (actor / "optim_world_size_1_rank_0.pt").write_text("moments")
    assert merge_sources(source, base_given=False) == first
    (actor / "model_world_size_1_rank_0.pt").write_text("2")
    assert merge_sources(source, base_given=False) != first
    assert origin({"source": source.model_dump()}).source == source.path
    assert origin({"source": source.model_dump()}).licence == "MIT"


def test_the_model_below_an_adapter_counts_unless_it_is_an_input(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "config.json").write_text("{}")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    named, given = CheckpointFolder(path=str(adapter)), CheckpointFolder(path=str(adapter), base=str(base))
    assert set(merge_sources(named, base_given=False)) == {str(adapter), str(base)}
    assert merge_sources(given, base_given=False) == merge_sources(named, base_given=False)
    assert set(merge_sources(named, base_given=True)) == {str(adapter)}
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/model"}))
    assert set(merge_sources(named, base_given=False)) == {str(adapter)}, "the job says what is missing"
    with pytest.raises(StageError, match="is no folder with files"):
        merge_sources(CheckpointFolder(path=str(adapter), base=str(tmp_path / "absent")), base_given=False)
