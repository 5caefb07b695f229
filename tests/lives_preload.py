"""What the fork server of `tests.lives` imports; nothing here may start a thread."""

import importlib

for name in (
    "appo_core.training.run",
    "appo_core.rollout.engines.transformers_engine",
    "transformers.models.qwen3.modeling_qwen3",
    "torch.utils.tensorboard",
    "torch.distributed.checkpoint",
    "torch._dynamo",
    "pyarrow.parquet",
):
    importlib.import_module(name)
