"""The policy, and what it is measured against: the same micro-batches padded, and packed under one mask."""

import gc
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from appo_core.training.packing import MicroBatch
from appo_core.training.policy import Policy


class PaddedPolicy(Policy):
    """Runs a pack as padded rows with an attention mask; everything but the model's body is the policy's own."""

    def __init__(self, policy: Policy, width: int | None = None) -> None:
        super().__init__(policy.model)
        self.width = width
        """Tokens of a row; None: as many as the longest has."""

    def hidden(self, batch: MicroBatch) -> Tensor:
        """The hidden states, packed again: (T, D)."""
        ids_BL, position_BL = self._rows(batch.ids_T, batch), self._rows(batch.position_T, batch)
        length_B1 = torch.tensor(batch.lengths, device=ids_BL.device)[:, None]
        mask_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device) < length_B1
        output = self.model.model(
            input_ids=ids_BL, attention_mask=mask_BL.long(), position_ids=position_BL, use_cache=False
        )
        hidden_TD: Tensor = output.last_hidden_state[mask_BL]
        return hidden_TD

    def _rows(self, values_T: Tensor, batch: MicroBatch) -> Tensor:
        rows_BL = pad_sequence(values_T.split(batch.lengths), batch_first=True)
        return nn.functional.pad(rows_BL, (0, max((self.width or 0) - rows_BL.shape[1], 0)))


class MaskedPolicy(Policy):
    """Runs a pack under one T x T mask, as transformers does by itself."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.model)

    def hidden(self, batch: MicroBatch) -> Tensor:
        """The hidden states: (T, D)."""
        output = self.model.model(input_ids=batch.ids_T[None], position_ids=batch.position_T[None], use_cache=False)
        hidden_TD: Tensor = output.last_hidden_state[0]
        return hidden_TD


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time that `work` takes: the CPU time of this process, which other load does not change, or a GPU's clock."""
    gc.collect()
    if device.type != "cuda":
        began = time.process_time()
        work()
        return time.process_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def best_seconds(work: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """The least time of each, measured in turns after one round to warm up."""
    for one in work.values():
        one()
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, one in work.items():
            times[name].append(seconds_of(one, device))
    return {name: min(values) for name, values in times.items()}
