"""The page is one file in which nothing that a model or a tool wrote means anything to HTML."""

import json
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appo_core.viewing import Step, load_step, render
from appo_core.viewing.outline import mermaid, outline
from appo_core.viewing.page import ASSETS, SCRIPTS, data_block, escape_json
from tests.appo_core.viewing.dumps import branch, lines, pieces, row

HOSTILE = "</script><img src=x onerror=\"document.title='run'\"><!-- <script> & \u2028 ]]> {{ @@SCRIPT@@"


class Reader(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data


def step(*rows: dict[str, Any], **options: Any) -> Step:
    return load_step(lines(rows), "x", pieces(), title=options.pop("title", "t"), number=4, **options)


def hostile() -> Step:
    origin = row("a", HOSTILE, question=HOSTILE, gold=HOSTILE, answer=HOSTILE, reason=HOSTILE)
    return step(origin, branch("a/1", origin, 1, HOSTILE, failure=HOSTILE), title=HOSTILE)


@given(st.text() | st.just(HOSTILE))
def test_data_comes_back_from_its_block_and_holds_no_markup(text: str) -> None:
    block = data_block("x", json.dumps({"text": text}, ensure_ascii=False))
    inside = block.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set(inside) & set("<>&\u2028\u2029")
    assert json.loads(inside) == {"text": text}


def test_half_a_surrogate_pair_can_be_written() -> None:
    block = escape_json(json.dumps("\ud800", ensure_ascii=False))
    assert json.loads(block.encode().decode()) == "\ud800"


def test_planted_markup_makes_no_element() -> None:
    planted, plain = Reader(render(hostile())), Reader(render(step(row("a"))))
    assert [tag for tag, _ in planted.elements] == [tag for tag, _ in plain.elements]
    blocks = {
        attrs["id"]: json.loads(text)
        for (_, attrs), text in zip(scripts(planted), planted.scripts, strict=True)
        if "id" in attrs
    }
    assert blocks["prompt-0"]["question"] == HOSTILE
    assert "".join(blocks["prompt-0"]["nodes"][0]["texts"]) == HOSTILE
    assert blocks["index"]["title"] == HOSTILE


def scripts(page: Reader) -> list[tuple[str, dict[str, Any]]]:
    return [element for element in page.elements if element[0] == "script"]


def test_the_page_asks_nobody_for_anything() -> None:
    page = render(step(row("a")))
    elements = Reader(page).elements
    assert not [attrs for _, attrs in elements if {"src", "href"} & set(attrs)]
    (policy,) = [attrs["content"] for tag, attrs in elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"@import|url\((?!#)", style)


def test_no_script_of_the_page_makes_markup_of_text() -> None:
    for name in SCRIPTS:
        source = (ASSETS / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|</script", source), name


def test_without_a_number_the_page_stays_light_and_says_what_it_leaves_out() -> None:
    rows = [row(f"{group}/{number}", "lang " * 60, group=group) for group in "abcdefgh" for number in range(2)]
    whole = step(*rows)
    assert (len(whole.prompts), whole.total_prompts) == (8, 8)
    few = step(*rows, prompts=3)
    assert (len(few.prompts), few.index["total"]["prompts"], few.index["total"]["initial"]) == (3, 8, 16)


def test_large_prompts_are_left_out_but_never_all(monkeypatch: Any) -> None:
    monkeypatch.setattr("appo_core.viewing.step.DEFAULT_BYTES", 2500)
    rows = [row(f"{group}/0", "lang " * 20, group=group) for group in "abcdefgh"]
    assert 1 <= len(step(*rows).prompts) < 8
    assert len(step(*rows, prompts=8).prompts) == 8
    assert len(step(row("a", "lang " * 2000)).prompts) == 1


def test_branch_tokens_are_counted() -> None:
    origin = row("a", "one two three")
    found = step(origin, branch("a/1", origin, 1), branch("a/b", origin, 1), branch("a/0", origin, 0))
    token = pieces().split(origin["response_ids"])
    assert found.index["points"] == [(token[1], 2), (token[0], 1)]


def test_rewards_are_counted_into_bins_of_initial_rollouts_and_branches() -> None:
    origin = row("a", "one two", reward=-1.0)
    found = step(origin, row("b", reward=1.0), branch("c", origin, 0, reward=1.0)).index["rewards"]
    assert (found["low"], found["high"]) == (-1, 1)
    assert (found["initial"][0], found["initial"][-1], sum(found["initial"])) == (1, 1, 2)
    assert (found["branch"][-1], sum(found["branch"])) == (1, 1)


def test_the_outline_draws_the_tree_and_planted_markup_stays_text() -> None:
    found = outline(hostile())
    assert 'n0 -->|"token 1: ' in found
    assert "| ! R1.1 | 1 |" in found or "| ✗ R1.1 | 1 |" in found
    for line in found.splitlines():
        if not line.startswith((">", "|")):
            continue
        assert "<" not in line.removeprefix(">")
    chart = mermaid(hostile().prompts[0], hostile().prompts[0].nodes)
    assert chart.count('"') % 2 == 0
    assert "<" not in chart.replace("-->", "")
    assert "`" not in chart
