"""Regions of responses, where branch points fell, and what entropy alone would have chosen: hand-made dumps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.config.compare import PointRules
from appo_core.experiments.overlap import Overlap, overlap, peaks, z_score
from appo_core.experiments.placement import Placement, place, read_dumps
from appo_core.experiments.regions import REGIONS, regions, token_text
from appo_core.jobs.contract import JobError

WORDS = (
    "<think>", " plan", "</think>", "<search>", " tower", "</search>", " result", "<python>", " 1", "</python>",
    "<answer>", " 42", "</answer>", "",
    "<", "sea", "rch", ">", ".",
)  # fmt: skip
RULES = PointRules(min_distance=1, last=100)


def text_of(index: int) -> str:
    return WORDS[index]


def ids(*words: str) -> list[int]:
    return [WORDS.index(word) for word in words]


WHOLE = ids("<think>", " plan", "</think>", "<search>", " tower", "</search>", " result", "<answer>", " 42",
            "</answer>", "")  # fmt: skip
MASK = [1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1]


def test_a_tag_belongs_to_what_it_opens_or_closes() -> None:
    assert regions(WHOLE, MASK, text_of) == [
        "think", "think", "think", "search", "search", "search", "result", "answer", "answer", "answer", "elsewhere",
    ]  # fmt: skip


def test_a_tag_may_be_several_tokens() -> None:
    found = regions(ids("<", "sea", "rch", ">", " tower", "</search>", " plan"), [1] * 7, text_of)
    assert found == ["search"] * 6 + ["elsewhere"]


def test_the_innermost_tag_counts_and_unclosed_ones_go_on() -> None:
    found = regions(ids("<think>", "<python>", " 1", "</python>", " plan"), [1] * 5, text_of)
    assert found == ["think", "python", "python", "python", "think"]
    assert regions(ids("</answer>", " plan"), [1, 1], text_of) == ["elsewhere", "elsewhere"]


def test_tags_in_results_are_no_tags() -> None:
    found = regions(ids("<think>", " plan", "</think>", "<answer>", " 42"), [1, 1, 0, 0, 1], text_of)
    assert found == ["think", "think", "result", "result", "think"]
    # Nor do generated tokens around a result join into one.
    assert regions(ids("<", "sea", " result", "rch", ">"), [1, 1, 0, 1, 1], text_of) == [
        "elsewhere", "elsewhere", "result", "elsewhere", "elsewhere",
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(range(len(WORDS))), st.integers(0, 1)), max_size=30))
def test_every_token_has_one_region(tokens: list[tuple[int, int]]) -> None:
    found = regions([index for index, _ in tokens], [own for _, own in tokens], text_of)
    assert len(found) == len(tokens)
    assert set(found) <= set(REGIONS)
    assert all((name == "result") == (own == 0) for name, (_, own) in zip(found, tokens, strict=True))


def row(uid: str, response: list[int], mask: list[int], **more: Any) -> dict[str, Any]:
    return {"uid": uid, "response_ids": response, "mask": mask, "prefix": None} | more


def branch(uid: str, origin: str, split: int, tail: list[int]) -> dict[str, Any]:
    start = WHOLE[: split + 1]
    prefix = {"origin": origin, "split": split, "score": 1.0}
    return row(uid, start + tail, MASK[: split + 1] + [1] * len(tail), prefix=prefix)


def test_points_are_counted_once_and_tokens_where_they_were_generated() -> None:
    step = [
        row("a", WHOLE, MASK),
        branch("a/1", "a", 1, ids("</think>", "<answer>", " 42")),
        branch("a/2", "a", 1, ids("</think>")),
        branch("a/3", "a", 8, ids("</answer>")),
        branch("a/4", "a", 6, ids("<answer>", "</answer>")),
    ]
    found = place([step, [row("a", WHOLE, MASK)]], text_of, None)
    assert found.points == {"think": 1, "answer": 1, "result": 1}
    # Twice the whole row (3 think, 3 search, 3 answer, 1 elsewhere), and what the branches added.
    assert found.tokens == {"think": 6 + 2, "search": 6, "answer": 6 + 2 + 1 + 2, "elsewhere": 2}
    assert found.share_of_points("think") == pytest.approx(1 / 3)
    assert found.share_of_tokens("search") == pytest.approx(6 / 27)
    assert Placement().share_of_points("think") == 0


def test_totals_leave_the_parts_alone() -> None:
    part = place([[row("a", WHOLE, MASK), branch("a/1", "a", 1, [])]], text_of, None)
    whole = Placement.total([part, part])
    assert (whole.points["think"], part.points["think"]) == (2, 1)


def scored(entropies: list[float], scores: list[float] | None = None) -> dict[str, Any]:
    response = ids(*[" plan"] * len(entropies))
    product = scores or (np.array([0.5, -1, 2, 0.1, -1, 0.2][: len(entropies)]) * 3).tolist()
    return row("a", response, [1] * len(response), entropies=entropies, branching_scores=product)


def test_entropy_alone_shares_what_is_a_peak_of_entropy() -> None:
    one = scored([0.9, 0.0, 0.5, 0.0, 1.0, 0.0])
    assert overlap(one, {4}, text_of, RULES) == Overlap(1, 1, 1, pytest.approx(1 / 6))
    assert overlap(one, {2}, text_of, RULES).both == 0
    assert overlap(one, {0, 2}, text_of, RULES).both == 1
    assert overlap(one, {0, 4}, text_of, RULES) == Overlap(1, 2, 2, pytest.approx(4 / 6))


def test_the_rules_bind_entropy_too() -> None:
    one = scored([0.9, 0.0, 0.5, 0.0, 1.0, 0.0])
    # Too little room behind index 4; a full stop at index 0; index 1 and 3 are no peaks.
    assert overlap(one, {0}, text_of, RULES.model_copy(update={"last": 4})).both == 1
    one["response_ids"][0] = WORDS.index(".")
    assert overlap(one, {2}, text_of, RULES.model_copy(update={"last": 4})).both == 1
    one["mask"][4] = 0
    assert overlap(one, {2}, text_of, RULES).both == 1


def test_rollouts_without_branches_signal_or_entropies_do_not_count() -> None:
    entropies = [0.9, 0.0, 0.5]
    silent = z_score(np.array(entropies), np.ones(3, dtype=bool)).round(5).tolist()
    assert overlap(scored(entropies, silent), {0}, text_of, RULES) == Overlap()
    assert overlap(scored(entropies), set(), text_of, RULES) == Overlap()
    assert overlap(row("a", WHOLE, MASK), {0}, text_of, RULES) == Overlap()


def test_peaks_keep_their_distance() -> None:
    scores = np.array([1.0, 5.0, 4.0, 3.0, -np.inf])
    assert peaks(scores, 3, 0) == [1, 2, 3]
    assert peaks(scores, 3, 1) == [1, 3]
    assert peaks(scores, 0, 1) == []
    assert peaks(np.full(3, -np.inf), 2, 1) == []


def test_dumps_are_read_step_by_step_and_damage_is_named(tmp_path: Path) -> None:
    for step in (2, 1):
        (tmp_path / f"step_{step:06d}.jsonl").write_text(json.dumps({"uid": f"{step}"}) + "\n")
    assert [[one["uid"] for one in step] for step in read_dumps(tmp_path)] == [["1"], ["2"]]
    (tmp_path / "step_000003.jsonl").write_text('{"uid"')
    with pytest.raises(JobError, match=r"step_000003\.jsonl: no readable rollouts"):
        list(read_dumps(tmp_path))


def test_the_tokenizer_gives_text_and_no_special_tokens(tmp_path: Path) -> None:
    from appo_core.demo.tokenizer import TAGS, TURN_END, train_tokenizer

    tokenizer = train_tokenizer(["look up the tower", "the answer is 42"] * 4, 400)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = token_text(tmp_path / "tokenizer.json")
    assert text(tokenizer.token_to_id(TURN_END)) == ""
    encoded = tokenizer.encode(f"{TAGS[0]} the tower{TAGS[1]}").ids
    assert "".join(map(text, encoded)) == f"{TAGS[0]} the tower{TAGS[1]}"
    assert set(regions(encoded, [1] * len(encoded), text)) == {"think"}
