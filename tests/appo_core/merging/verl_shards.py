"""As a torchrun program, ``verl_shards MODEL FOLDER``: the files that verl's ranks write of a model.

For every kind of sharding, `FOLDER/<kind>/actor` holds the model, `FOLDER/<kind>/odd` a module with uneven shapes, one
of fewer rows than ranks, and with buffers.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, ShardedStateDictConfig, StateDictType, fully_shard
from transformers import AutoModelForCausalLM

KINDS = ("fsdp2", "hsdp", "fsdp1")


def odd_module() -> nn.Module:
    """Uneven shapes, and buffers that every rank holds whole."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 1))


def state_of(module: nn.Module, kind: str, mesh: Any) -> dict[str, Any]:
    """This rank's part, as verl's checkpoint manager takes it."""
    if kind != "fsdp1":
        fully_shard(module, mesh=mesh)
        return module.state_dict()
    wrapped = FullyShardedDataParallel(module, device_mesh=mesh, use_orig_params=True, device_id=torch.device("cpu"))
    with FullyShardedDataParallel.state_dict_type(
        wrapped, StateDictType.SHARDED_STATE_DICT, ShardedStateDictConfig(offload_to_cpu=False)
    ):
        return wrapped.state_dict()


def main() -> None:
    """One rank."""
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    for kind in KINDS:
        names, shape = (("ddp", "fsdp"), (2, world // 2)) if kind == "hsdp" else (("fsdp",), (world,))
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
        modules = {"actor": AutoModelForCausalLM.from_pretrained(model), "odd": odd_module()}
        for name, module in modules.items():
            (folder / kind / name).mkdir(parents=True, exist_ok=True)
            torch.save(state_of(module, kind, mesh), folder / kind / name / f"model_world_size_{world}_rank_{rank}.pt")
    dist.barrier()
    os._exit(0)  # gloo's threads may abort an ordinary shutdown


if __name__ == "__main__":
    main()
