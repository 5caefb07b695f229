"""A pickle that asks for anything but tensors is refused by name, and nothing of it runs."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from appo_core.jobs.contract import JobError
from appo_core.merging.pickles import load_shard, vet_metadata
from appo_core.merging.shards import read_shards


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_malicious_shard_is_refused_and_does_nothing(tmp_path: Path) -> None:
    path, mark = tmp_path / "model_world_size_1_rank_0.pt", tmp_path / "mark"
    torch.save({"w": torch.ones(2), "x": Evil(mark)}, path)
    with pytest.raises(JobError, match=r"rank_0\.pt asks for posix\.mkdir, which no weights need"):
        load_shard(path)
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(JobError, match="cannot be read"):
        load_shard(path)
    assert not mark.exists()


def test_a_class_that_something_else_allowed_is_refused_still(tmp_path: Path) -> None:
    path = tmp_path / "shard.pt"
    torch.save({"w": Evil(tmp_path / "mark")}, path)
    with torch.serialization.safe_globals([os.mkdir, Evil]):
        before = set(torch.serialization.get_safe_globals())
        with pytest.raises(JobError, match="asks for"):
            load_shard(path)
        assert set(torch.serialization.get_safe_globals()) == before
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [[torch.ones(1)], {"w": "text"}, torch.ones(1)])
def test_what_is_no_mapping_to_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "shard.pt")
    with pytest.raises(JobError, match="no mapping of names to tensors"):
        load_shard(tmp_path / "shard.pt")


def test_dcp_metadata_is_looked_at_before_torch_unpickles_it(tmp_path: Path) -> None:
    dcp.save({"model": {"w": torch.ones(3)}, "optimizer": {"n": 3}}, checkpoint_id=tmp_path, no_dist=True)
    vet_metadata(tmp_path / ".metadata")
    assert torch.equal(read_shards(tmp_path)["w"], torch.ones(3))
    (tmp_path / ".metadata").write_bytes(pickle.dumps(Evil(tmp_path / "mark")))
    with pytest.raises(JobError, match=r"\.metadata asks for posix\.mkdir"):
        read_shards(tmp_path)
    assert not (tmp_path / "mark").exists()
    (tmp_path / ".metadata").write_bytes(b"\x80\x04torn")
    with pytest.raises(JobError, match="cannot be read"):
        vet_metadata(tmp_path / ".metadata")
