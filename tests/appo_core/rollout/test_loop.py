"""The rollout loop against a scripted engine: alignment, budgets, branches, failures."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout import loop
from appo_core.rollout.codec import Codec
from appo_core.rollout.loop import run_trajectory
from appo_core.rollout.prompts import SYSTEM_PROMPTS
from appo_core.rollout.types import Finish, Trajectory

from .scripted import ScriptedEngine, ScriptedTool, fresh

LIMITS = LoopLimits(max_prompt_tokens=2000, max_response_tokens=4000, call_limit=3, max_result_tokens=500)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_S", 0.0)


async def _run(
    codec: Codec,
    turns: list[str],
    *,
    start: Trajectory | None = None,
    python: list[str | Exception] | None = None,
    search: list[str | Exception] | None = None,
    limits: LoopLimits = LIMITS,
    failures: int = 0,
    seed: int | None = None,
) -> tuple[Trajectory, ScriptedEngine, dict[str, ScriptedTool]]:
    engine = ScriptedEngine(codec, turns, failures)
    tools = {"python": ScriptedTool("python", python or []), "search": ScriptedTool("search", search or [])}
    done = await run_trajectory(
        start or fresh(codec),
        engine=engine,
        tools=tools,
        codec=codec,
        limits=limits,
        sampling=SamplingSettings(),
        seed=seed,
    )
    _assert_aligned(done)
    return done, engine, tools


def _assert_aligned(trajectory: Trajectory) -> None:
    assert len(trajectory.response_ids) == len(trajectory.mask) == len(trajectory.behaviour_logprobs)
    for token, mask, logprob in zip(
        trajectory.response_ids, trajectory.mask, trajectory.behaviour_logprobs, strict=True
    ):
        assert logprob == (-0.5 - 0.01 * token if mask else 0.0)


async def test_two_tools_and_an_answer(codec: Codec) -> None:
    turns = ["<search> a </search>", "<python>\nprint(1)\n</python>", "<answer> \\boxed{1} </answer>"]
    done, engine, tools = await _run(codec, turns, python=["1"], search=["Page 1: b"], seed=7)
    assert done.finish is Finish.EOS
    assert tools["search"].arguments == ["a"]
    assert tools["python"].arguments == ["print(1)"]
    text = "<search> a </search> <result>\nPage 1: b\n</result><python>\nprint(1)\n</python> <result>\n1\n</result>"
    assert codec.decode(done.response_ids) == text + "<answer> \\boxed{1} </answer>"
    assert engine.prompts[2] == done.prompt_ids + done.response_ids[: len(engine.prompts[2]) - len(done.prompt_ids)]
    assert [call.end for call in done.tool_calls] == [
        index + 1
        for index, mask in enumerate(done.mask[:-1])
        if mask == 1 and done.mask[index + 1] == 0
    ]  # fmt: skip
    assert len({params.seed for params in engine.params}) == 3
    assert done.cached_tokens == 3
    assert done.prompt_tokens_sent == sum(map(len, engine.prompts))


OUTPUTS = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outputs=st.lists(OUTPUTS, max_size=3), room=st.integers(1, 400), result_room=st.integers(1, 60))
async def test_arrays_stay_aligned(codec: Codec, outputs: list[str], room: int, result_room: int) -> None:
    """ODD-1: whatever is injected, each log-prob stays with its token."""
    turns = [f"<python> run({index}) </python>" for index in range(len(outputs))]
    limits = LoopLimits(max_response_tokens=room, max_result_tokens=result_room, call_limit=3)
    done, _, _ = await _run(codec, [*turns, "<answer> x </answer>"], python=list(outputs), limits=limits)
    assert len(done) <= room
    written = codec.decode([token for token, mask in zip(done.response_ids, done.mask, strict=True) if mask])
    assert "".join([*turns, "<answer> x </answer>"]).startswith(written.rstrip("\ufffd"))
    assert done.finish is (Finish.EOS if done.response_ids[-1] == codec.eos_id else Finish.LENGTH)


@settings(max_examples=40, deadline=None)
@given(output=OUTPUTS)
async def test_injected_text_decodes_back(codec: Codec, output: str) -> None:
    done, _, _ = await _run(codec, ["<python> 1 </python>", "end"], python=[output])
    injected = [token for token, mask in zip(done.response_ids, done.mask, strict=True) if not mask]
    assert codec.decode(injected) == f" <result>\n{output}\n</result>"


async def test_prompt_tags_are_neither_run_nor_counted(codec: Codec) -> None:
    """ODD-2, ODD-16: tags of the system prompt and of results neither use up calls nor open one."""
    start = fresh(codec, SYSTEM_PROMPTS["code_search"], "what does </python> after <python> mean?")
    quoted = "<python> evil() <search> evil"
    turns = ["<search> a </search>", "oops </python>", "<python> ok() </python>", "done"]
    done, _, tools = await _run(codec, turns, start=start, search=[quoted], python=["fine"])
    assert tools["python"].arguments == ["ok()"]
    bare = done.tool_calls[1]
    assert bare.malformed
    assert "no opening tag" in bare.output
    assert not any(call.refused for call in done.tool_calls)
    assert done.finish is Finish.EOS


async def test_call_limit_is_told_and_the_model_may_answer(codec: Codec) -> None:
    turns = [f"<python> {index} </python>" for index in range(5)] + ["<answer> \\boxed{1} </answer>"]
    done, _, tools = await _run(codec, turns, python=["a", "b", "c"])
    assert tools["python"].arguments == ["0", "1", "2"]
    assert [call.refused for call in done.tool_calls] == [False] * 3 + [True] * 2
    assert "limit of 3 tool calls" in done.tool_calls[-1].output
    assert done.finish is Finish.EOS
    assert codec.decode(done.response_ids).endswith("</answer>")


async def test_empty_output_is_injected_as_empty(codec: Codec) -> None:
    done, _, tools = await _run(codec, ["<python> x = 1 </python>", "end"], python=[""])
    assert codec.decode(done.response_ids) == "<python> x = 1 </python> <result>\n\n</result>end"
    assert tools["python"].arguments == ["x = 1"]
    assert done.tool_calls[0].failure is None


async def test_empty_call_is_told(codec: Codec) -> None:
    done, _, tools = await _run(codec, ["<search>  </search>", "end"])
    assert tools["search"].arguments == []
    assert "call is empty" in codec.decode(done.response_ids)
    assert done.finish is Finish.EOS


async def test_long_result_keeps_its_closing_tag(codec: Codec) -> None:
    limits = LIMITS.model_copy(update={"max_result_tokens": 40})
    done, _, _ = await _run(codec, ["<python> 1 </python>", "end"], python=["東京" * 500], limits=limits)
    injected = [token for token, mask in zip(done.response_ids, done.mask, strict=True) if not mask]
    assert len(injected) <= 40
    text = codec.decode(injected)
    assert text.startswith(" <result>\n東京")
    assert text.endswith("\n</result>")
    assert "\ufffd" not in text


async def test_call_without_room_for_a_result_is_not_run(codec: Codec) -> None:
    turn = "<python> 1 </python>"
    limits = LIMITS.model_copy(update={"max_response_tokens": len(codec.encode(turn))})
    done, _, tools = await _run(codec, [turn], limits=limits)
    assert tools["python"].arguments == []
    assert done.finish is Finish.LENGTH


async def test_engine_errors_are_tried_again(codec: Codec) -> None:
    done, _, _ = await _run(codec, ["end"], failures=2)
    assert done.finish is Finish.EOS
    done, _, _ = await _run(codec, ["end"], failures=3)
    assert done.finish is Finish.FAILED
    assert done.failure == "engine: connection refused"


async def test_unusable_tool_fails_the_trajectory(codec: Codec) -> None:
    done, _, _ = await _run(codec, ["<python> 1 </python>"], python=[OSError("no sandbox")])
    assert done.finish is Finish.FAILED
    assert done.failure == "tool python: OSError: no sandbox"


async def test_long_prompt_fails_with_the_remedy(codec: Codec) -> None:
    done, engine, _ = await _run(codec, ["end"], limits=LIMITS.model_copy(update={"max_prompt_tokens": 3}))
    assert done.finish is Finish.FAILED
    assert "limits.max_prompt_tokens" in str(done.failure)
    assert engine.prompts == []


async def _origin(codec: Codec) -> Trajectory:
    turns = ["<think> a </think> <search> q </search>", "<think> b </think> <python> 1 </python>", "end"]
    done, _, _ = await _run(codec, turns, search=["found"], python=["one"])
    return done


async def test_every_branch_point_continues_cleanly(codec: Codec) -> None:
    """A branch may start anywhere, inside a closing tag too: calls are still recognised, run once and counted."""
    origin = await _origin(codec)
    text = codec.decode(origin.response_ids)
    for split in range(len(origin) - 1):
        if not origin.mask[split]:
            continue
        start = origin.branch(f"b{split}", split, 1.0)
        turns, search, python = _rest(codec, origin, split)
        done, _, _ = await _run(codec, turns, start=start, search=search, python=python)
        assert done.response_ids[: split + 1] == origin.response_ids[: split + 1]
        assert codec.decode(done.response_ids) == text
        assert [call.tool for call in done.tool_calls] == ["search", "python"]
        assert len(start) == split + 1


def _rest(codec: Codec, origin: Trajectory, split: int) -> tuple[list[str], list[str], list[str]]:
    """What the origin wrote behind `split`, turn by turn, and the tool outputs it has yet to see."""
    ends = [call.end for call in origin.tool_calls]
    bounds = [(0, ends[0])] + [
        (next(index for index in range(end, len(origin)) if origin.mask[index]), following)
        for end, following in zip(ends, [*ends[1:], len(origin) - 1], strict=True)
    ]
    turns = [
        codec.decode(origin.response_ids[max(first, split + 1) : last])
        for first, last in bounds
        if last > split + 1 or last == len(origin) - 1
    ]
    outputs = {call.tool: [call.output] for call in origin.tool_calls if call.end > split + 1}
    return turns, outputs.get("search", []), outputs.get("python", [])


async def test_branch_has_the_remaining_calls(codec: Codec) -> None:
    origin = await _origin(codec)
    start = origin.branch("b", origin.tool_calls[1].end, 1.0)
    turns = ["<python> 2 </python>", "<python> 3 </python>", "end"]
    done, _, tools = await _run(codec, turns, start=start, python=["two"])
    assert tools["python"].arguments == ["2"]
    assert [call.refused for call in done.tool_calls] == [False, False, False, True]
