"""Rollouts and branches stand in an order in which they can be drawn."""

from appo_core.viewing.tree import build_tree, by_prompt
from tests.appo_core.viewing.dumps import branch, parsed, row

FIRST, SECOND = row("a", "one two three four"), row("b")


def test_branches_follow_their_origin_the_later_one_first_and_are_numbered_along_it() -> None:
    rows = parsed(FIRST, SECOND, branch("a/1", FIRST, 1), branch("a/3", FIRST, 3), branch("b/0", SECOND, 0))
    nodes = build_tree(rows)
    assert [(node.label, node.row.uid, node.parent, node.start) for node in nodes] == [
        ("R1", "a", None, 0),
        ("R1.2", "a/3", 0, 4),
        ("R1.1", "a/1", 0, 2),
        ("R2", "b", None, 0),
        ("R2.1", "b/0", 3, 1),
    ]


def test_a_branch_of_a_branch_stands_under_it() -> None:
    inner = branch("a/1", FIRST, 1, " and so on")
    nodes = build_tree(parsed(FIRST, branch("a/1/4", inner, 4), inner))
    assert [(node.label, node.parent) for node in nodes] == [("R1", None), ("R1.1", 0), ("R1.1.1", 1)]


def test_two_branches_at_one_token_are_two_nodes() -> None:
    nodes = build_tree(parsed(FIRST, branch("x", FIRST, 2), branch("y", FIRST, 2)))
    assert [node.label for node in nodes] == ["R1", "R1.2", "R1.1"]


def test_a_branch_without_its_origin_stands_alone_and_shows_all_its_tokens() -> None:
    (node,) = build_tree(parsed(branch("a/1", FIRST, 1)))
    assert (node.label, node.parent, node.start) == ("R1", None, 0)


def test_prompts_keep_the_order_of_the_dump() -> None:
    rows = parsed(row("a", group="z"), row("b", group="y"), row("c", group="z"))
    assert [(group, [one.uid for one in found]) for group, found in by_prompt(rows).items()] == [
        ("z", ["a", "c"]), ("y", ["b"]),
    ]  # fmt: skip
