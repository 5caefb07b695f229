"""Both engines that run here, against a float32 forward pass of the same weights."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from appo_core.config.rollout import EngineSettings, LoopLimits, SamplingSettings
from appo_core.rollout import Codec, Finish, RolloutRunner, Trajectory
from appo_core.rollout.engines import Engine, EngineError, Generation, SamplingParams, build_engine
from tests.appo_core.rollout.tiny import build_model, build_tokenizer

PROMPT = [5 + index % 90 for index in range(70)]
"""Longer than two cache blocks, so that a stale prefix cache would show."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    build_tokenizer(path)
    build_model(path)
    return path


@pytest.fixture(scope="module", params=[pytest.param("vllm", marks=pytest.mark.slow), "transformers"])
def engine(request: pytest.FixtureRequest, folder: Path) -> Iterator[Engine]:
    before = _surroundings()
    settings = EngineSettings(kind=request.param, max_in_flight=16, kv_cache_mb=64)
    built = build_engine(settings, folder, max_model_len=512, dtype="fp32", seed=0)
    yield built
    asyncio.run(_assert_closes(built))
    assert _surroundings() == before


def _surroundings() -> tuple[set[psutil.Process], int, str | None]:
    """What an engine must leave as it was: child processes, torch's thread count, LD_PRELOAD."""
    return set(psutil.Process().children(recursive=True)), torch.get_num_threads(), os.environ.get("LD_PRELOAD")


async def _assert_closes(built: Engine) -> None:
    """Closing fails what still runs and what comes later; closing again does nothing."""
    running = asyncio.create_task(built.generate(PROMPT, SamplingParams(max_tokens=400, temperature=0)))
    await asyncio.sleep(0)
    await built.close()
    await built.close()
    with pytest.raises(EngineError, match="closed"):
        await running
    with pytest.raises(EngineError, match="closed"):
        await built.generate(PROMPT, SamplingParams(max_tokens=4))


@pytest.fixture
async def original(engine: Engine, folder: Path) -> AsyncIterator[torch.nn.Module]:
    """The model of the folder, whose weights the engine has before and after the test."""
    model = _model(folder)
    yield model
    await engine.update_weights(model.named_parameters(), 0)


def _model(folder: Path, shift: int | None = None) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    if shift is not None:
        torch.manual_seed(shift)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return model


@torch.no_grad()
def _difference(model: torch.nn.Module, prompt: list[int], generation: Generation) -> float:
    """Largest difference between the engine's log-probs and those of a forward pass, in nats."""
    ids = torch.tensor([prompt + generation.token_ids])
    logprobs = model(ids).logits.float().log_softmax(-1)[0, len(prompt) - 1 : -1]
    own = logprobs.gather(1, ids[0, len(prompt) :, None])[:, 0]
    return float((own - torch.tensor(generation.logprobs)).abs().max())


async def _many(engine: Engine, count: int, **sampling: Any) -> list[Generation]:
    params = [SamplingParams(**{"max_tokens": 24, "seed": index} | sampling) for index in range(count)]
    prompts = [PROMPT[: 70 - 3 * (index % 4)] for index in range(count)]
    return await asyncio.gather(*map(engine.generate, prompts, params))


def _worst(model: torch.nn.Module, generations: list[Generation]) -> float:
    return max(
        _difference(model, PROMPT[: 70 - 3 * (index % 4)], generation) for index, generation in enumerate(generations)
    )


async def test_logprobs_equal_a_forward_pass_before_and_after_an_update(
    engine: Engine, folder: Path, original: torch.nn.Module
) -> None:
    before = await _many(engine, 8)
    assert _worst(original, before) < 1e-4
    changed = _model(folder, shift=1)
    await engine.update_weights(changed.named_parameters(), 5)
    after = await _many(engine, 8)
    assert {generation.weights_version for generation in after} == {5}
    assert _worst(changed, after) < 1e-4
    assert _worst(original, after) > 0.1


async def test_raw_logprobs_under_every_filter(engine: Engine, original: torch.nn.Module) -> None:
    filters = {"temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0.01, "repetition_penalty": 1.1}
    assert _worst(original, await _many(engine, 4, **filters)) < 1e-4
    greedy = await _many(engine, 2, temperature=0.0)
    assert _worst(original, greedy) < 1e-4


async def test_entropies_of_the_first_tokens(engine: Engine, original: torch.nn.Module) -> None:
    """Exact, or summed over the ten likeliest tokens and the chosen one."""
    sampling = SamplingParams(max_tokens=12, seed=3, entropy_tokens=5)
    generation = await engine.generate(PROMPT, sampling)
    assert len(generation.entropies) == 5
    ids = torch.tensor([PROMPT + generation.token_ids])
    with torch.no_grad():
        logprobs = original(ids).logits.float().log_softmax(-1)[0, len(PROMPT) - 1 : -1]
    for position, entropy in enumerate(generation.entropies):
        row = logprobs[position]
        listed = row[[*set(row.topk(10).indices.tolist()) | {generation.token_ids[position]}]]
        allowed = [-(part.exp() * part).sum().item() for part in (row, listed)]
        assert min(abs(entropy - value) for value in allowed) < 1e-3
    assert (await engine.generate(PROMPT, SamplingParams(max_tokens=4))).entropies == []


async def test_requests_around_an_update_have_one_version_each(
    engine: Engine, folder: Path, original: torch.nn.Module
) -> None:
    changed = _model(folder, shift=2)
    early = asyncio.create_task(_many(engine, 6, max_tokens=60))
    await asyncio.sleep(0.02)
    update = asyncio.create_task(engine.update_weights(changed.state_dict().items(), 9))
    await asyncio.sleep(0)
    late = await _many(engine, 6)
    await update
    assert {generation.weights_version for generation in await early} == {0}
    assert {generation.weights_version for generation in late} == {9}
    assert _worst(original, await early) < 1e-4
    assert _worst(changed, late) < 1e-4


async def test_weights_that_do_not_fit_are_refused(engine: Engine, original: torch.nn.Module) -> None:
    weights = dict(original.named_parameters())
    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(EngineError, match=f"1 missing, first {name}"):
        await engine.update_weights([item for item in weights.items() if item[0] != name], 3)
    with pytest.raises(EngineError, match="1 unknown, first nope"):
        await engine.update_weights([*weights.items(), ("nope", torch.zeros(1))], 3)
    with pytest.raises(EngineError, match="of another shape"):
        await engine.update_weights((weights | {name: torch.zeros(1)}).items(), 3)
    assert (await _many(engine, 1))[0].weights_version == 0


async def test_stop_string_stays_and_seeds_repeat(engine: Engine, folder: Path, original: torch.nn.Module) -> None:
    codec = Codec.load(folder)
    free = (await _many(engine, 1))[0]
    assert (await _many(engine, 1))[0].token_ids == free.token_ids
    assert (await _many(engine, 2))[1].token_ids != free.token_ids
    stop = codec.decode([next(token for token in free.token_ids[4:] if codec.decode([token]).isascii())])
    stopped = (await _many(engine, 1, stop=(stop,)))[0]
    assert (stopped.finish, stopped.stop) == ("stop", stop)
    assert stopped.token_ids == free.token_ids[: len(stopped.token_ids)]
    assert stop in codec.decode(stopped.token_ids)
    assert stop not in codec.decode(stopped.token_ids[:-1])


async def test_end_of_sequence_is_the_last_id(engine: Engine, folder: Path, original: torch.nn.Module) -> None:
    codec = Codec.load(folder)
    generations = await _many(engine, 16, max_tokens=400)
    ended = [generation for generation in generations if generation.finish == "eos"]
    assert ended
    assert all(generation.token_ids[-1] == codec.eos_id for generation in ended)
    assert all(codec.eos_id not in generation.token_ids[:-1] for generation in generations)
    assert _worst(original, generations) < 1e-3


async def test_cancelled_requests_leave_room(engine: Engine, original: torch.nn.Module) -> None:
    tasks = [asyncio.create_task(engine.generate(PROMPT, SamplingParams(max_tokens=400))) for _ in range(16)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert any(isinstance(result, asyncio.CancelledError) for result in results)
    assert _worst(original, await _many(engine, 4)) < 1e-4


async def test_many_long_seeded_prompts_at_once(engine: Engine, original: torch.nn.Module) -> None:
    """More prompt tokens than one pass of the engine takes: none may be prefilled in pieces on a CPU."""
    prompts = [[5 + (index * 7 + at * at) % 90 for at in range(480)] for index in range(16)]
    calls = (engine.generate(prompt, SamplingParams(max_tokens=4, seed=3)) for prompt in prompts)
    assert [len(generation.token_ids) > 0 for generation in await asyncio.gather(*calls)] == [True] * 16


async def test_request_beyond_the_model_length_is_refused(engine: Engine) -> None:
    with pytest.raises(EngineError):
        await engine.generate([5] * 600, SamplingParams(max_tokens=4))


async def test_trajectories_run_through_the_engine(engine: Engine, folder: Path, original: torch.nn.Module) -> None:
    codec = Codec.load(folder)
    runner = RolloutRunner(
        engine=engine,
        tools={},
        codec=codec,
        limits=LoopLimits(max_prompt_tokens=200, max_response_tokens=60),
        sampling=SamplingSettings(),
        max_in_flight=8,
        seed=1,
    )
    starts = [Trajectory(uid=f"t{index}", group="g", prompt_ids=PROMPT) for index in range(12)]
    done = await runner.run(starts)
    branches = await runner.run([origin.branch(f"{origin.uid}b", len(origin) // 2, 1.0) for origin in done])
    for trajectory in (*done, *branches):
        assert trajectory.finish in (Finish.EOS, Finish.LENGTH)
        generation = Generation(trajectory.response_ids, trajectory.behaviour_logprobs, "length")
        assert _difference(original, PROMPT, generation) < 1e-4


def _engine(kind: Any, folder: Path) -> Engine:
    settings = EngineSettings(kind=kind, max_in_flight=4, kv_cache_mb=64)
    return build_engine(settings, folder, max_model_len=256, dtype="fp32", seed=0)


@pytest.mark.slow
async def test_killed_vllm_fails_its_requests(folder: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    engine = _engine("vllm", folder)
    running = asyncio.create_task(engine.generate(PROMPT, SamplingParams(max_tokens=180)))
    await asyncio.sleep(0)
    for process in set(psutil.Process().children(recursive=True)) - before:
        if "vllm_worker" in process.cmdline()[2]:
            process.send_signal(signal.SIGKILL)
    with pytest.raises(EngineError, match="has ended"):
        await running
    await engine.close()
    assert set(psutil.Process().children(recursive=True)) <= before


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no config\.json"):
        _engine("vllm", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}')
    with pytest.raises(EngineError, match=r"no \*\.safetensors"):
        _engine("vllm", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    for kind in ("vllm", "transformers"):
        with pytest.raises(EngineError, match=r"model\.safetensors: not a readable"):
            _engine(kind, tmp_path)


def test_vllm_on_a_cpu_asks_for_a_cache_size(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("only CPUs need the size")
    with pytest.raises(EngineError, match=r"engine\.kv_cache_mb"):
        build_engine(EngineSettings(kind="vllm"), folder, max_model_len=64)
