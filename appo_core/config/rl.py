"""Settings of the reinforcement-learning stage."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from appo_core.config.algorithm import AlgorithmSettings
from appo_core.config.base import Settings
from appo_core.config.lora import LoraSettings
from appo_core.config.rollout import EngineSettings, LoopLimits, PromptSettings, SamplingSettings, ToolSettings


class RewardSettings(Settings):
    """How a rollout is scored."""

    scoring: Literal["corrected", "reference"] = "corrected"
    """`reference` reproduces the published scoring with its faults, for parity."""
    format_failure: float = -1.0
    multi_tool_bonus: float = 0.1
    """Added when a scored answer used both tools."""


class OptimizerSettings(Settings):
    """AdamW."""

    learning_rate: PositiveFloat = 1e-6
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: PositiveFloat = 1.0
    warmup_steps: NonNegativeInt = 0


class RlSettings(Settings):
    """APPO reinforcement learning."""

    steps: PositiveInt = 208
    """Rollout-and-update steps; `max_generated_tokens` may end the run earlier."""
    max_generated_tokens: PositiveInt | None = None
    """The run ends with the step that reaches this many generated tokens, so that methods can be compared at equal
    cost."""
    prompts_per_step: PositiveInt = 96
    minibatch_prompts: PositiveInt = 16
    """Prompts per optimiser update; must divide `prompts_per_step`."""
    micro_batch_tokens: PositiveInt = 16384
    """Token budget of one forward and backward pass (packed)."""
    algorithm: AlgorithmSettings = AlgorithmSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    lora: LoraSettings | None = None
    """Train a low-rank adapter instead of all weights."""
    reward: RewardSettings = RewardSettings()
    prompt: PromptSettings = PromptSettings()
    sampling: SamplingSettings = SamplingSettings()
    limits: LoopLimits = LoopLimits()
    tools: ToolSettings = ToolSettings()
    engine: EngineSettings = EngineSettings()
    validate_every: NonNegativeInt = 5
    """Steps between validations; 0 turns them off."""
    validate_first: bool = False
    validate_samples: PositiveInt = 1
    """Rollouts per held-out prompt in a validation."""
    validate_temperature: Annotated[float, Field(ge=0)] = 0.0
    """Temperature of a validation's rollouts; 0 takes the likeliest token."""
    save_every: PositiveInt = 20
    """Steps between checkpoints; an interrupted run resumes from the last one."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints that stay; the best one (`keep_best`) stays besides."""
    keep_best: Annotated[str, Field(pattern="^validation/")] | None = None
    """Validation metric, such as `validation/score`: whenever it is higher than ever before, that step's checkpoint is
    saved and kept."""
    publish: Literal["last", "best"] = "last"
    """The checkpoint that is the run's result: the last step's, or the best by `keep_best`."""
    dump_rollouts_every: PositiveInt = 1
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = True
    processes: PositiveInt = 1
    """torchrun ranks (one per GPU)."""
    cpu_threads: PositiveInt | None = None
    """Threads of a rank's torch where there is no GPU; by default as many as OMP_NUM_THREADS says."""
    seed: NonNegativeInt = 1

    @model_validator(mode="after")
    def _processes_divide(self) -> "RlSettings":
        if self.minibatch_prompts % self.processes:
            raise ValueError(
                f"processes ({self.processes}) must divide minibatch_prompts ({self.minibatch_prompts}): every process "
                "takes as many prompts of an update"
            )
        return self

    @model_validator(mode="after")
    def _best_is_measured(self) -> "RlSettings":
        if self.publish == "best" and self.keep_best is None:
            raise ValueError("publish is best, but keep_best names no metric; set it, for example to validation/score")
        if self.keep_best and not self.validate_every:
            raise ValueError("keep_best needs validations; set validate_every above 0")
        return self

    @model_validator(mode="after")
    def _minibatch_divides(self) -> "RlSettings":
        if self.prompts_per_step % self.minibatch_prompts:
            raise ValueError(
                f"minibatch_prompts ({self.minibatch_prompts}) must divide prompts_per_step ({self.prompts_per_step})"
            )
        return self
