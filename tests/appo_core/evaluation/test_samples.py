from pathlib import Path

import pytest

from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.integrity import check_complete
from appo_core.evaluation.samples import Call, Sample, SampleLog, read_samples, write_samples
from appo_core.jobs.contract import JobError


def sample(id: str, number: int = 0, **more) -> Sample:
    return Sample(id=id, sample=number, seed=1, response="r", prediction="p", finish="eos", **more)


def test_log_goes_on_after_a_cut_off_line(tmp_path: Path):
    log = SampleLog(tmp_path / "sub" / "gaia.jsonl")
    assert log.finished() == {}
    log.append(sample("a", tool_calls=(Call(tool="search", argument="q", output="\u2028 é", failure="timeout"),)))
    log.append(sample("b"))
    log.close()
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    assert list(log.finished()) == [("a", 0)]
    log.append(sample("b"))
    log.close()
    assert log.path.read_bytes() == whole
    assert list(SampleLog(log.path).finished()) == [("a", 0), ("b", 0)]


def test_write_and_read_are_inverse(tmp_path: Path):
    samples = [sample("a", correct=True, f1=0.5, method="exact"), sample("a", 1, failure="not finished after 3 s")]
    write_samples(tmp_path / "x.jsonl", samples)
    assert read_samples(tmp_path / "x.jsonl") == samples


def test_a_broken_line_is_named(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    path.write_text(sample("a").model_dump_json() + '\n{"id": "b"}\n')
    with pytest.raises(JobError, match="line 2: sample: Field required"):
        SampleLog(path).finished()


def test_every_id_must_come_k_times():
    questions = [Question("gaia", id, id, ("g",), "qa") for id in ("a", "b")]
    full = [sample(id, number) for id in ("a", "b") for number in range(2)]
    check_complete("gaia", questions, full, 2)
    with pytest.raises(JobError, match=r"gaia.*missing: b#1"):
        check_complete("gaia", questions, full[:-1], 2)
    with pytest.raises(JobError, match=r"unknown: c#0"):
        check_complete("gaia", questions, [*full, sample("c")], 2)
    with pytest.raises(JobError, match=r"doubled: a#0"):
        check_complete("gaia", questions, [*full, sample("a")], 2)
