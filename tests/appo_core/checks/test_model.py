import json
from pathlib import Path

import numpy as np

from appo_core.checks.model import table
from tests.appo_core.checks.tiny_model import write_model, write_safetensors


def _faults(folder: Path, **context: object) -> dict[str, str]:
    return table(folder, context).set_index("id")["fault"].dropna().to_dict()


def test_a_sound_model_has_no_fault(tmp_path: Path) -> None:
    write_model(tmp_path / "base")
    write_model(tmp_path / "tuned", dtype="BF16", scale=2)
    frame = table(tmp_path / "tuned", {"reference": tmp_path / "base"})
    assert (frame["shape"].dropna() == frame["expected_shape"].dropna()).all()
    assert frame["fault"].isna().all()
    assert set(frame["dtype"].dropna()) == {"BF16"}


def test_names_and_shapes_follow_the_reference(tmp_path: Path) -> None:
    write_model(tmp_path / "base")
    write_model(tmp_path / "tuned")
    embedding = ("F32", np.zeros((5, 2)))
    write_safetensors(
        tmp_path / "tuned" / "model.safetensors", {"model.embed_tokens.weight": embedding, "x": embedding}
    )
    frame = table(tmp_path / "tuned", {"reference": tmp_path / "base"}).set_index("id")
    shapes = frame[["shape", "expected_shape"]].dropna().apply(tuple, axis=1).to_dict()
    assert shapes == {
        "model.embed_tokens.weight": ("5x2", "4x2"),
        "model.norm.weight": ("missing", "2"),
        "x": ("5x2", "not in the reference"),
    }


def test_a_tied_head_must_equal_the_embedding(tmp_path: Path) -> None:
    write_model(tmp_path, tied=False)
    assert _faults(tmp_path) == {}
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    assert _faults(tmp_path) == {"lm_head.weight": "differs from the embedding it is tied to"}


def test_token_ids_must_not_move_and_must_fit(tmp_path: Path) -> None:
    write_model(tmp_path / "base")
    write_model(tmp_path / "tuned")
    tokenizer = {"model": {"vocab": [["a", 0.0], ["c", 0.0], ["b", 0.0], ["<eos>", 0.0], ["d", 0.0]]}}
    (tmp_path / "tuned" / "tokenizer.json").write_text(json.dumps(tokenizer))
    found = _faults(tmp_path / "tuned", reference=tmp_path / "base")
    assert found == {"tokenizer.json": "3 token ids differ, e.g. 'b': 2, was 1"}
    assert _faults(tmp_path / "tuned") == {"tokenizer.json": "token id 4, but the embedding has 4 rows"}


def test_missing_files_and_an_unknown_end_token(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 9}))
    (tmp_path / "chat_template.jinja").unlink()
    assert _faults(tmp_path) == {
        "generation_config.json": "eos_token_id 9 is no token",
        "chat template": "missing",
    }
    (tmp_path / "tokenizer.json").unlink()
    assert _faults(tmp_path) == {"tokenizer.json": "missing"}
