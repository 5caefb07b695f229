"""Shards as verl's ranks write them become the weights they were cut from; a set that is not whole is named."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from appo_core.demo.model import build_model
from appo_core.environments import ROOT
from appo_core.jobs.contract import JobError
from appo_core.merging.pickles import Mesh, Part, Partial, Record, Replicate, Shard, Strided
from appo_core.merging.verl import assemble, mesh_dimensions, read_verl, replica, stripped
from tests.appo_core.merging.verl_shards import KINDS, odd_module
from tests.tiny_model import SETTINGS, TEXTS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny tied model."""
    folder = tmp_path_factory.mktemp("model")
    build_model(SETTINGS, TEXTS * 4, folder)
    return folder


@pytest.fixture(scope="module")
def shards(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four ranks' files of every kind of sharding, not to be changed."""
    folder = tmp_path_factory.mktemp("shards")
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    command = [*program, "-m", "tests.appo_core.merging.verl_shards", str(model), str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300, capture_output=True)
    return folder


def equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_comes_back(model: Path, shards: Path, kind: str) -> None:
    assert equal(read_verl(shards / kind / "actor"), AutoModelForCausalLM.from_pretrained(model).state_dict())
    assert equal(read_verl(shards / kind / "odd"), odd_module().state_dict())


@pytest.mark.slow
def test_a_set_that_is_not_whole_is_named(shards: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(shards / "fsdp2" / "odd", tmp_path / name))

    missing = copy("missing")
    (missing / "model_world_size_4_rank_1.pt").unlink()
    with pytest.raises(JobError, match=r"model_world_size_4_rank_1\.pt is missing \(1 of 4\)"):
        read_verl(missing)
    short = copy("short")
    path = short / "model_world_size_4_rank_2.pt"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(JobError, match=r"model_world_size_4_rank_2\.pt cannot be read"):
        read_verl(short)
    mixed = copy("mixed")
    torch.save({}, mixed / "model_world_size_2_rank_0.pt")
    with pytest.raises(JobError, match=r"2 world sizes: model_world_size_2_rank_0\.pt, model_world_size_4_rank_0\.pt"):
        read_verl(mixed)
    other = copy("other")
    torch.save({"0.weight": torch.ones(1)}, other / "model_world_size_4_rank_1.pt")
    with pytest.raises(JobError, match=r"rank_1\.pt and model_world_size_4_rank_0\.pt do not both hold 0\.bias"):
        read_verl(other)


@pytest.mark.slow
def test_shards_saved_on_gpus_are_read_without_one(shards: Path, tmp_path: Path) -> None:
    """The pickles name the device twice, of the storage and of the whole: both as text."""
    cpu, gpu = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    for path in (shards / "hsdp" / "odd").iterdir():
        reader = torch._C.PyTorchFileReader(str(path))
        writer = torch._C.PyTorchFileWriter(str(tmp_path / path.name))
        assert cpu in reader.get_record("data.pkl")
        for name in reader.get_all_records():
            if not name.startswith((".", "version")):
                content = reader.get_record(name)
                content = content.replace(cpu, gpu) if name == "data.pkl" else content
                writer.write_record(name, content, len(content))
        writer.write_end_of_file()
    assert equal(read_verl(tmp_path), odd_module().state_dict())


def mesh(names: tuple[str, ...] | None, shape: tuple[int, ...]) -> Mesh:
    """A mesh in the form of torch before 2.9."""
    made = Mesh()
    vars(made).update(mesh=torch.arange(torch.Size(shape).numel()).reshape(shape), mesh_dim_names=names)
    return made


def part(local: Tensor, whole: tuple[int, ...], *placements: Record) -> Any:
    made: Any = torch.Tensor._make_wrapper_subclass(Part, whole)
    made._local_tensor = local
    made._spec = Record()
    made._spec.tensor_meta = Record(torch.Size(whole))
    made._spec.placements = placements
    made._spec.mesh = mesh(("fsdp",), (2,))
    return made


def files(count: int) -> list[Path]:
    return [Path(f"model_world_size_{count}_rank_{rank}.pt") for rank in range(count)]


def test_placements() -> None:
    cut, (left, right) = torch.arange(12.0).reshape(3, 4), torch.arange(12.0).reshape(3, 4).split([3, 1], dim=1)
    parts = [part(left, (3, 4), Shard(1)), part(right, (3, 4), Shard(1))]
    assert torch.equal(assemble("w", parts, files(2)), cut)
    assert torch.equal(assemble("w", [part(cut, (3, 4), Replicate())] * 2, files(2)), cut)
    plain = torch.tensor([1.0, 2.0])
    assert torch.equal(assemble("b", [plain, plain.clone()], files(2)), plain), "not two of it, one after the other"
    cases: list[tuple[list[Any], str]] = [
        ([plain, plain + 1], "is not sharded, yet model_world_size_2_rank_1.pt and"),
        ([parts[0], right], "sharded in some of"),
        ([parts[0], part(right, (3, 4), Shard(0))], "placed differently"),
        ([parts[0], parts[0]], "make \\(3, 6\\), the whole is \\(3, 4\\)"),
        ([part(cut, (3, 4), Partial("sum"))] * 2, "rank_0.pt: w is a partial sum"),
        ([part(cut, (3, 4), Strided(0))] * 2, "placed in another way"),
        ([part(cut, (3, 4), Shard(0), Shard(1))] * 2, "placed in another way"),
    ]
    for given, message in cases:
        with pytest.raises(JobError, match=message):
            assemble("w", given, files(2))


def test_meshes() -> None:
    assert mesh_dimensions(mesh(("ddp", "fsdp"), (2, 4))) == (("ddp", "fsdp"), (2, 4))
    one: Any = part(torch.ones(1), (2,), Shard(0))
    assert replica({"w": one}, 2, Path("f")) == 2
    one._spec.mesh = mesh(("ddp", "fsdp"), (2, 4))
    assert replica({"w": one}, 8, Path("f")) == 4
    for names, shape, world in ((("fsdp", "tp"), (2, 2), 4), (("fsdp",), (2,), 4), (("a", "b", "c"), (2, 1, 1), 2)):
        one._spec.mesh = mesh(names, shape)
        with pytest.raises(JobError, match="is not supported"):
            replica({"w": one}, world, Path("f"))


@pytest.mark.parametrize(
    "name",
    [
        "module.model.layers.0.w",
        "_fsdp_wrapped_module.model._fsdp_wrapped_module.layers.0._checkpoint_wrapped_module.w",
        "_orig_mod.module.model.layers.0._orig_mod.w",
    ],
)
def test_wrappers_leave_no_trace(name: str) -> None:
    assert stripped(name) == "model.layers.0.w"
    assert stripped("model.my_module.w") == "model.my_module.w"


def test_shards_of_a_lora_run_point_to_the_adapter(tmp_path: Path) -> None:
    names = ("base_model.model.q.base_layer.weight", "base_model.model.q.lora_A.default.weight")
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "model_world_size_1_rank_0.pt")
    with pytest.raises(JobError, match="hold a LoRA adapter") as caught:
        read_verl(tmp_path)
    assert caught.value.remedy.endswith("lora_adapter")
