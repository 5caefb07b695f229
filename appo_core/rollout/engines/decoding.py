"""Continuous batching for transformers models: rows join and leave a batch between two decoding steps.

Caches are left-padded to a common length; keys are stored already rotated, so padding can be added and trimmed freely.
Shapes: B rows, T cached positions (padding included), V vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Generation, SamplingParams


@dataclass
class Row:
    """One running request."""

    prompt_ids: list[int]
    sampling: SamplingParams
    generator: torch.Generator
    room: int
    """Most tokens that may be generated."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    """Of the first tokens, where wanted."""
    finish: Literal["stop", "eos", "length"] | None = None
    stop: str | None = None

    def append(self, token: int, logprob: float, eos_ids: Collection[int], codec: Codec) -> None:
        """Add a token and see whether it ends the request."""
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        if token in eos_ids:
            self.finish = "eos"
            return
        self.stop = self._found_stop(codec)
        if self.stop is not None:
            self.finish = "stop"
        elif len(self.token_ids) >= self.room:
            self.finish = "length"

    def _found_stop(self, codec: Codec) -> str | None:
        """The stop string that the newest token completes; only as many tokens are decoded as can hold one."""
        if not self.sampling.stop:
            return None
        tail = codec.decode(self.token_ids[-max(map(len, self.sampling.stop)) :])
        return next((stop for stop in self.sampling.stop if stop in tail), None)

    def generation(self, version: int) -> Generation:
        """The finished request."""
        return Generation(
            self.token_ids, self.logprobs, self.finish or "length", self.stop, version, entropies=self.entropies
        )


class Batch:
    """The rows that run, and their key-value caches."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._rows: list[Row] = []
        self._mask_BT: Tensor | None = None
        self._layers: list[tuple[Tensor, Tensor]] = []
        """Keys and values per layer, each (B, heads, T, head size)."""

    def logits(self, rows: list[Row]) -> Tensor:
        """Next-token logits (B, V). `rows` are those that ran before, in their order, then new ones.

        Rows that ran before and are missing from `rows` leave the batch.
        """
        running = {id(row) for row in rows}
        self._keep([index for index, row in enumerate(self._rows) if id(row) in running])
        new = rows[len(self._rows) :]
        parts = []
        if self._rows:
            parts.append(self._decode())
        if new:
            parts.append(self._prefill(new))
        self._rows = list(rows)
        return torch.cat(parts)

    def clear(self) -> None:
        """Forget every row."""
        self._rows, self._mask_BT, self._layers = [], None, []

    def _keep(self, indices: list[int]) -> None:
        """Drop the other rows, and padding that no row needs any more."""
        if len(indices) == len(self._rows):
            return
        if not indices or self._mask_BT is None:
            self.clear()
            return
        self._rows = [self._rows[index] for index in indices]
        mask_BT = self._mask_BT[indices]
        first = int(mask_BT.any(0).int().argmax())
        self._mask_BT = mask_BT[:, first:]
        self._layers = [(keys[indices, :, first:], values[indices, :, first:]) for keys, values in self._layers]

    def _decode(self) -> Tensor:
        """One step for the rows whose prompts are cached."""
        assert self._mask_BT is not None  # noqa: S101 - rows have a cache
        self._mask_BT = pad(self._mask_BT, (0, 1), value=1)
        ids_B1 = torch.tensor([[row.token_ids[-1]] for row in self._rows], device=self._mask_BT.device)
        logits_BV, self._layers = self._forward(ids_B1, self._mask_BT, self._layers)
        return logits_BV

    def _prefill(self, new: list[Row]) -> Tensor:
        """Cache the prompts of new rows and join them to the batch."""
        length = max(len(row.prompt_ids) for row in new)
        gaps = [length - len(row.prompt_ids) for row in new]
        device = self._model.device
        ids_BT = torch.tensor([[0] * gap + row.prompt_ids for gap, row in zip(gaps, new, strict=True)], device=device)
        mask_BT = torch.tensor([[0] * gap + [1] * (length - gap) for gap in gaps], device=device)
        logits_BV, layers = self._forward(ids_BT, mask_BT, [])
        self._join(mask_BT, layers)
        return logits_BV

    def _join(self, mask_BT: Tensor, layers: list[tuple[Tensor, Tensor]]) -> None:
        if self._mask_BT is None:
            self._mask_BT, self._layers = mask_BT, layers
            return
        length = max(self._mask_BT.shape[1], mask_BT.shape[1])
        self._layers = [
            (_stack(old_keys, keys, length), _stack(old_values, values, length))
            for (old_keys, old_values), (keys, values) in zip(self._layers, layers, strict=True)
        ]
        self._mask_BT = torch.cat([pad(mask, (length - mask.shape[1], 0)) for mask in (self._mask_BT, mask_BT)])

    def _forward(
        self, ids_BQ: Tensor, mask_BT: Tensor, layers: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Logits (B, V) behind the last of the Q new positions, and the caches with them."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for index, (keys, values) in enumerate(layers):
            cache.update(keys, values, index)
        positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
        output = self._model(
            input_ids=ids_BQ,
            attention_mask=mask_BT,
            position_ids=positions_BT[:, -ids_BQ.shape[1] :],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1], [(layer.keys, layer.values) for layer in cache.layers]


def _stack(first: Tensor, second: Tensor, length: int) -> Tensor:
    """Two caches as one batch, left-padded to `length`."""
    return torch.cat([pad(cache, (0, 0, length - cache.shape[2], 0)) for cache in (first, second)])
