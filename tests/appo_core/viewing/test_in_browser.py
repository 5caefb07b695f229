"""The page in a real Chromium: from a branch point to its branch, colours, filters; planted markup stays text."""

import json
from pathlib import Path
from typing import Any

import pytest

from appo_core.viewing import Pieces, load_step, render
from tests.appo_core.viewing.dumps import REAL
from tests.browser import open_page

pytestmark = pytest.mark.slow

PLANTED = "</script><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
IN_VIEW = """selector => {
    const box = document.querySelector(selector).getBoundingClientRect();
    return box.bottom > 0 && box.top < innerHeight;
}"""


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """A real dump, with markup planted in every text that comes from outside."""
    found = [json.loads(line) for line in (REAL / "step_000001.jsonl").read_text().splitlines()]
    for row in found:
        if row["group"].startswith("2/"):
            row |= {"question": PLANTED, "gold": PLANTED, "reason": PLANTED, "answer": PLANTED}
            row["tool_calls"] = [call | {"tool": PLANTED, "failure": PLANTED} for call in row["tool_calls"]]
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Any:
    pieces = Pieces.load(REAL)
    planted = pieces._tokenizer.encode(PLANTED).ids
    plain = next(row for row in rows if row["group"].startswith("2/") and not row["prefix"])
    for name, more in (
        ("response_ids", planted),
        ("mask", [1] * len(planted)),
        ("behaviour_logprobs", [-1.0] * len(planted)),
    ):
        plain[name] = plain[name] + more
    for name in ("advantages", "branching_scores", "entropies", "future_values"):
        plain[name] = plain[name] + [0.5] * len(planted)
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file: Path = tmp_path_factory.mktemp("page") / "view.html"
    file.write_text(render(load_step(body, "dump", pieces, title=PLANTED, number=1)), encoding="utf-8")
    with open_page() as browser:
        browser.emulate_media(reduced_motion="reduce")
        browser.faults = []
        browser.on("pageerror", lambda error: browser.faults.append(str(error)))
        browser.on("console", lambda line: browser.faults.append(line.text) if line.type == "error" else None)
        browser.on(
            "request", lambda request: browser.faults.append(request.url) if request.url != file.as_uri() else None
        )
        browser.goto(file.as_uri())
        yield browser
        assert browser.faults == [], "no error, no refused script, and nothing else was asked for"


def open_prompt(page: Any, words: str) -> None:
    page.locator("#list tbody tr", has_text=words).first.click()


def test_a_click_on_a_branch_point_leads_to_the_branch_and_back(page: Any, rows: list[dict[str, Any]]) -> None:
    open_prompt(page, "market tax of Cedar Bay")
    branches = [row for row in rows if row["group"] == "1/train-899" and row["prefix"]]
    assert page.locator("svg.tree .point").count() == len(branches) > 0
    assert page.locator("svg.tree .lane").count() == len([row for row in rows if row["group"] == "1/train-899"])
    page.locator("article .fork").first.click()
    chosen = page.locator("article.card.chosen")
    label = chosen.get_attribute("data-label")
    assert label == "R1.1"
    assert page.url.endswith(f"/{label}")
    chosen.wait_for(state="visible")
    assert page.evaluate(IN_VIEW, "article.chosen")
    page.keyboard.press("o")
    assert page.locator("article.card.chosen").get_attribute("data-label") == "R1"
    page.locator("svg.tree .point").last.click()
    assert "." in page.locator("article.card.chosen").get_attribute("data-label")


def test_tokens_show_their_figures_and_are_coloured_by_the_chosen_one(page: Any, rows: list[dict[str, Any]]) -> None:
    open_prompt(page, "market tax of Cedar Bay")
    origin = next(row for row in rows if row["group"] == "1/train-899" and not row["prefix"])
    place = max(range(len(origin["mask"])), key=lambda one: origin["branching_scores"][one])
    tokens = page.locator("#card-0 .t")
    assert tokens.count() == len(origin["response_ids"])
    page.locator("[data-metric=bs]").click()
    shown = tokens.nth(place)
    shown.hover()
    tip = page.locator("#tip")
    assert f"token {place} · id {origin['response_ids'][place]}" in tip.inner_text()
    assert "Entropy" in tip.inner_text()
    strongest = shown.evaluate("node => getComputedStyle(node).backgroundColor")
    page.locator("[data-metric=adv]").click()
    assert shown.evaluate("node => getComputedStyle(node).backgroundColor") != strongest
    assert (
        page.locator("#card-0 .result .t").first.evaluate("node => getComputedStyle(node).backgroundColor")
        == "rgba(0, 0, 0, 0)"
    )


def test_the_text_of_a_rollout_is_whole(page: Any, rows: list[dict[str, Any]]) -> None:
    open_prompt(page, "market tax of Cedar Bay")
    origin = next(row for row in rows if row["group"] == "1/train-899" and not row["prefix"])
    shown = page.evaluate("[...document.querySelectorAll('#card-0 .t')].map(one => one.textContent).join('')")
    assert shown == Pieces.load(REAL).text(origin["response_ids"])


def test_planted_markup_is_shown_and_does_not_run(page: Any) -> None:
    open_prompt(page, "onerror")
    page.locator("article.card").first.wait_for()
    assert page.locator("h2").inner_text() == PLANTED
    assert PLANTED in page.evaluate("[...document.querySelectorAll('#card-0 .t')].map(one => one.textContent).join('')")
    assert page.locator("img").count() == 0
    assert page.locator("body script:not([type])").count() == 1
    page.wait_for_timeout(200)
    assert page.title() == f"{PLANTED} · step 1"


def test_prompts_are_sorted_filtered_and_walked_by_keys(page: Any) -> None:
    page.locator("#list th [data-sort=branches]").click()
    counts = [int(text) for text in page.locator("#list tbody td:last-child").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    page.locator("[data-filter=failed]").click()
    assert page.locator("#list tbody tr").count() == 1
    page.keyboard.press("j")
    assert page.locator("h2").inner_text() == PLANTED
    page.locator("[data-filter=failed]").click()
    page.keyboard.press("k")
    assert page.locator("#list tbody tr").count() == 2


def test_both_themes_have_their_own_colours(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    page.keyboard.press("t")
    assert page.evaluate(ground) != dark
    page.keyboard.press("t")
    assert page.evaluate(ground) == dark


def test_the_tree_is_saved_as_a_picture_of_its_own(page: Any, tmp_path: Path) -> None:
    open_prompt(page, "market tax of Cedar Bay")
    with page.expect_download() as download:
        page.get_by_text("save figure").click()
    download.value.save_as(tmp_path / "tree.svg")
    picture = (tmp_path / "tree.svg").read_text()
    assert picture.startswith("<svg")
    assert "market tax of Cedar Bay" in picture
    assert "var(" not in picture
    assert "class=" not in picture
