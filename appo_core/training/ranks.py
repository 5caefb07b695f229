"""The torchrun ranks of one training run; a single process needs none of it."""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from appo_core.jobs.contract import JobError


@dataclass(frozen=True)
class Ranks:
    """This process's place among the training processes."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def start(cls) -> "Ranks":
        """Join the group that torchrun describes in the environment, if there is one.

        Raises `JobError` where a machine has GPUs, but fewer than ranks.
        """
        world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if cuda and local > torch.cuda.device_count():
            raise JobError(
                f"rl.processes ({local}) is above the number of GPUs that can be seen ({torch.cuda.device_count()})",
                remedy="lower rl.processes, or make more GPUs visible (CUDA_VISIBLE_DEVICES)",
            )
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        ranks = cls(rank, world, device)
        if "WORLD_SIZE" in os.environ:
            ranks.group()
        return ranks

    def group(self) -> None:
        """Form the process group if there is none yet; mixed precision needs one even of a single process."""
        if dist.is_initialized():
            return
        backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
        if "WORLD_SIZE" in os.environ:
            dist.init_process_group(backend)
        else:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)

    @property
    def first(self) -> bool:
        """Whether this rank writes what is written once."""
        return self.rank == 0

    def sum(self, value: float) -> float:
        """Sum of a number over the ranks."""
        return self._reduce(value, dist.ReduceOp.SUM)

    def maximum(self, value: float) -> float:
        """Largest of a number over the ranks."""
        return self._reduce(value, dist.ReduceOp.MAX)

    def gather(self, item: Any) -> list[Any]:
        """`item` of every rank, on every rank."""
        if self.world == 1:
            return [item]
        items: list[Any] = [None] * self.world
        dist.all_gather_object(items, item)
        return items

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier()

    def stop(self) -> None:
        """Leave the group."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def _reduce(self, value: float, operation: Any) -> float:
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor, operation)
        return float(tensor)
