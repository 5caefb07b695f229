import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from appo_core.config import BENCHMARKS, EXTRA_BENCHMARKS
from appo_core.evaluation.benchmarks import REGISTRY, load_questions, parse_questions
from appo_core.jobs.contract import JobError


def one(name: str, row: dict[str, Any]) -> Any:
    return parse_questions(REGISTRY[name], [row], "file")[0]


def test_registry_holds_every_benchmark_in_report_order():
    assert tuple(REGISTRY) == (*BENCHMARKS, *EXTRA_BENCHMARKS)


@pytest.mark.parametrize(
    ("name", "row", "id", "golds"),
    [
        ("aime24", {"id": 60, "question": "q", "problem": "p", "answer": "023"}, "60", ("23",)),
        ("aime25", {"id": "0", "problem": "q", "answer": 70}, "0", ("70",)),
        ("math500", {"question": "q", "answer": "\\frac{1}{2}"}, "0", ("\\frac{1}{2}",)),
        ("math500", {"problem": "q", "answer": "2", "unique_id": "test/a/1.json"}, "test/a/1.json", ("2",)),
        ("math", {"problem": "q", "level": "Level 5", "type": "Algebra", "solution": "$\\boxed{\\frac{1}{\\sqrt{2}}}$"},
         "0", ("\\frac{1}{\\sqrt{2}}",)),
        ("math", {"problem": "q", "solution": "so $\\boxed 7$."}, "0", ("7",)),
        ("math", {"problem": "q", "solution": "\\boxed{1}", "answer": "2"}, "0", ("2",)),
        ("gsm8k", {"question": "q", "answer": "a #### 3\nb\n#### 1,234", "idx": 5}, "5", ("1234",)),
        ("webwalker", {"question": "q", "answer": "text", "info": {"lang": "zh"}}, "0", ("text",)),
        ("hotpotqa", {"question": "q", "answer": ["a"]}, "0", ("a",)),
        ("2wiki", {"question": "q", "answer": ["NYC", "New York", "NYC"]}, "0", ("NYC", "New York")),
        ("gaia", {"id": 1, "task_id": "t", "Question": "q", "answer": "b, e", "Level": 2}, "t", ("b, e",)),
        ("hle", {"id": "x", "question": "q", "answer": "[1, 2]", "answer_type": "exactMatch"}, "x", ("[1, 2]",)),
        ("hle", {"id": "x", "question": "q", "answer": "\\{ \\frac{a}{b"}, "x", ("\\{ \\frac{a}{b}",)),
        ("xbench", {"question": "问", "answer": ["20个"]}, "0", ("20个",)),
    ],
)  # fmt: skip
def test_published_row_formats(name, row, id, golds):
    question = one(name, row)
    assert (question.id, question.golds, question.benchmark) == (id, golds, name)


def test_metadata_is_kept():
    assert one("gaia", {"task_id": "t", "Question": "q", "answer": "1", "Level": 3}).metadata == {"Level": 3}
    row = {"question": "q", "answer": "a", "info": {"domain": "game", "lang": ""}}
    assert one("webwalker", row).metadata == {"info.domain": "game"}


@pytest.mark.parametrize(
    ("name", "row", "fault"),
    [
        ("gaia", {"question": "q", "answer": "1"}, "field 'Question' is missing; the row has question, answer"),
        ("gsm8k", {"question": "q", "answer": "42"}, "field 'answer' has no final answer behind '#### '"),
        ("aime25", {"problem": "q", "answer": "4.5"}, "not an integer"),
        ("aime25", {"problem": "q", "answer": True}, "field 'answer' is bool, not text"),
        ("2wiki", {"question": "q", "answer": []}, "field 'answer' is an empty list"),
        ("2wiki", {"question": "q", "answer": ["a", 3]}, "field 'answer' holds 3"),
        ("math", {"problem": "q", "solution": "none"}, "field 'solution' has no"),
        ("math", {"problem": "q"}, "field 'answer' is missing"),
        ("hle", {"id": "x", "question": " ", "answer": "a"}, "field 'question' is empty"),
    ],
)
def test_a_bad_row_is_named(name, row, fault):
    with pytest.raises(JobError) as error:
        one(name, row)
    assert error.value.message.startswith("file, row 1: ")
    assert fault in error.value.message
    assert error.value.remedy


def test_an_id_that_comes_twice_is_named():
    rows = [{"question": "q", "answer": "a", "id": "x"}, {"question": "r", "answer": "b", "id": "x"}]
    with pytest.raises(JobError, match="row 2: id 'x' comes twice"):
        parse_questions(REGISTRY["hle"], rows, "file")


@pytest.mark.parametrize("file", ["hotpotqa/test.jsonl", "hotpotqa.jsonl", "hotpotqa.jsonl.gz", "HotpotQA.jsonl"])
def test_files_are_found_under_their_names(tmp_path: Path, file: str):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    data = json.dumps({"question": "q", "answer": ["a"]}).encode()
    path.write_bytes(gzip.compress(data) if file.endswith("gz") else data)
    assert len(load_questions(tmp_path, "hotpotqa")) == 1


def test_missing_corrupt_and_empty_files(tmp_path: Path):
    with pytest.raises(JobError, match="benchmark gaia: no file under") as error:
        load_questions(tmp_path, "gaia")
    assert "gaia/test.jsonl" in error.value.remedy
    (tmp_path / "gaia.jsonl").write_text("")
    with pytest.raises(JobError, match="holds no rows"):
        load_questions(tmp_path, "gaia")
    (tmp_path / "gaia.jsonl").write_text('{"Question": "q", \n')
    with pytest.raises(JobError, match="line 1: not JSON"):
        load_questions(tmp_path, "gaia")


def test_every_real_file_loads_with_the_published_number_of_rows(shared: Path):
    published = json.loads((shared / "reference" / "benchmarks.json").read_text())["benchmarks"]
    assert {row["name"].lower() for row in published} == set(REGISTRY)
    for row in published:
        if not row["available"]:
            continue
        questions = load_questions(shared / "data" / "benchmarks", row["name"].lower())
        assert len(questions) == row["rows_available_here"], row["name"]
        assert questions[0].kind == row["task"]
        assert all(gold for question in questions for gold in question.golds)
