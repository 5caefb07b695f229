"""Calls, tags and answers are found among the model's own tokens only."""

from appo_core.viewing.dump_file import Call
from appo_core.viewing.regions import Region, find_regions

PIECES = ["ok ", "<search>", " tea", " <", "/search>", " <answer>no", "</answer>", "<answer>", "5", "</answer>"]
MASK = [1, 1, 1, 1, 1, 0, 0, 1, 1, 1]


def test_regions_cover_whole_tokens_and_skip_what_a_tool_returned() -> None:
    found = find_regions(PIECES, MASK, [Call(tool="search", end=5)])
    assert found == [
        Region("call", 1, 5),
        Region("answer", 8, 9),
        Region("tag", 1, 2),
        Region("tag", 3, 5),
        Region("tag", 7, 8),
        Region("tag", 9, 10),
    ]


def test_a_call_without_an_opening_tag_is_no_region() -> None:
    assert find_regions(["tea", "</search>"], [1, 1], [Call(tool="search", end=2, malformed=True)]) == [
        Region("tag", 1, 2)
    ]


def test_an_answer_that_was_cut_off_reaches_to_the_end() -> None:
    assert Region("answer", 1, 3) in find_regions(["<answer>", "4", "2"], [1, 1, 1], [])


def test_nothing_is_found_in_nothing() -> None:
    assert find_regions([], [], [Call(tool="search", end=0)]) == []
    assert find_regions(["", ""], [1, 1], []) == []
