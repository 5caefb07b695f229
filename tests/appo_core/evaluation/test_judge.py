import json
from pathlib import Path

import pytest

from appo_core.config import JudgeSettings
from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.judge import Judge, parse_verdict
from appo_core.evaluation.samples import Sample
from appo_core.jobs.contract import JobError

QUESTION = Question("webwalker", "0", "When?", ("It began on September 1, 2022.",), "qa")


def sample(number: int, prediction: str, correct: bool = False) -> Sample:
    return Sample(
        id="0",
        sample=number,
        seed=0,
        response="",
        prediction=prediction,
        finish="eos",
        correct=correct,
        f1=0.1,
        method="exact",
    )


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ('{"correct": true}', True),
        ('<think> wrong? {"correct": false} </think>\n```json\n{"correct": true}\n```', True),
        ('{"correct": false}', False),
        ("Correct", None),
        ('{"correct": "true"}', None),
        ('{"correct": true} {"correct": false}', None),
        ("{correct: true}", None),
    ],
)
def test_only_one_json_verdict_counts(reply: str, verdict: bool | None):
    assert parse_verdict(reply) is verdict


async def test_turns_wrong_verdicts_once_and_remembers(serve, tmp_path: Path):
    asked: list[str] = []

    def judge(body: dict) -> str:
        asked.append(body["messages"][1]["content"])
        return json.dumps({"correct": json.loads(asked[-1])["answer"] == "Sept 1 2022"})

    samples = [sample(0, "Sept 1 2022"), sample(1, "2021"), sample(2, ""), sample(3, "exact", correct=True)]
    with serve(str, judge=judge, model="big") as server:
        for _ in range(2):
            reviewer = Judge(JudgeSettings(base_url=server.base_url, model="big"), tmp_path / "judge.jsonl")
            await reviewer.identify()
            reviewed = await reviewer.review([QUESTION], samples)
            await reviewer.close()
            assert [each.correct for each in reviewed] == [True, False, False, True]
            assert [each.method for each in reviewed] == ["judge", "exact", "exact", "exact"]
            assert reviewer.record.model_dump() == {
                "model": "big", "identity": "/models/big", "judged": 2, "turned_right": 1, "no_verdict": 0,
            }  # fmt: skip
    assert len(asked) == 2


async def test_a_judge_that_is_not_served_is_refused(serve, tmp_path: Path):
    with serve(str, model="small") as server:
        judge = Judge(JudgeSettings(base_url=server.base_url, model="big"), tmp_path / "judge.jsonl")
        with pytest.raises(JobError, match=r"judge: .* serves small, not big"):
            await judge.identify()
        await judge.close()
