"""The demo's base model: the same seed gives the same bytes, in the layout that every engine reads."""

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from appo_core.demo.model import build_model, conversation_texts, corpus_texts
from appo_core.demo.tokenizer import TAGS
from appo_core.jobs.base_model import work
from appo_core.jobs.contract import Job, Reporter
from appo_core.rollout.codec import Codec
from tests.tiny_model import SETTINGS, TEXTS


def test_same_seed_same_bytes(model_folder: Path, tmp_path: Path) -> None:
    same = SETTINGS.model_copy(update={"initializer_range": 0.2})
    parameters = build_model(same, TEXTS * 4, tmp_path / "again")
    for path in model_folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
    build_model(same.model_copy(update={"seed": 1}), TEXTS * 4, tmp_path / "other")
    weights = "model.safetensors"
    assert (tmp_path / "other" / weights).read_bytes() != (model_folder / weights).read_bytes()
    assert (tmp_path / "other" / "tokenizer.json").read_bytes() == (model_folder / "tokenizer.json").read_bytes()
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    assert parameters == sum(parameter.numel() for parameter in model.parameters())


def test_model_and_tokenizer_agree(model_folder: Path, codec: Codec) -> None:
    config = json.loads((model_folder / "config.json").read_text())
    assert config["vocab_size"] == len(codec.tokenizer) <= SETTINGS.vocabulary
    assert config["eos_token_id"] == codec.eos_id == GenerationConfig.from_pretrained(model_folder).eos_token_id
    assert config["tie_word_embeddings"]
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    assert model.dtype == torch.float32


def test_tags_and_digits_are_single_tokens(codec: Codec) -> None:
    for tag in TAGS:
        (token,) = codec.encode(tag)
        assert codec.decode([token]) == tag, "a tag is text, not a special token that decoding drops"
    assert len(codec.encode("9407")) == 4


def test_text_survives_encoding(codec: Codec) -> None:
    for text in (*TEXTS, "ünïcödé 東京 αβγ 🙂\n\t  two  spaces "):
        assert codec.decode(codec.encode(text)) == text


def test_job_learns_its_tokenizer_from_data_and_corpus(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "What is the zyxwv of Amber Bay?"}, {"from": "gpt", "value": "zyxwv"}]
    data, corpus = tmp_path / "data", tmp_path / "corpus"
    data.mkdir()
    corpus.mkdir()
    (data / "train.jsonl").write_text(json.dumps({"id": "1", "system": "", "conversations": turns}) + "\n")
    (corpus / "corpus.jsonl").write_text(json.dumps({"id": "1", "title": "t", "text": "zyxwv tower"}) + "\n")
    assert conversation_texts(data / "train.jsonl") == [turns[0]["value"], "zyxwv"]
    assert corpus_texts(corpus / "corpus.jsonl") == ["zyxwv tower"]
    job = Job(
        settings=SETTINGS.model_dump(),
        inputs={"data": data, "corpus": corpus},
        output=tmp_path / "out",
        work=tmp_path / "work",
    )
    work(job, Reporter())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert len(tokenizer.encode("zyxwv", add_special_tokens=False)) == 1
