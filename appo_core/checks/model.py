"""Suite `model`: a Hugging Face model folder.

Context: `reference`, the folder of the model it was trained from (names, shapes and token ids must be equal); `dtype`,
`bf16` or `fp32`, the merge stage's setting. Both may be left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appo_core.checks.rules import Context, Rule, Suite, between, equal, faultless, has_rows, one_of
from appo_core.checks.safetensors import TensorInfo, read_folder
from appo_core.data.readers import Row, read_json_object

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_DTYPES = {"bf16": "BF16", "fp32": "F32"}
_COLUMNS = ("shape", "expected_shape", "dtype", "nonfinite", "fault")


def table(folder: Path, context: Context) -> pd.DataFrame:
    """One row per tensor and one per file of the folder; columns that do not apply are null."""
    config = read_json_object(str(folder / "config.json"))
    found = read_folder(folder)
    expected = _expected(context, config, found)
    tied = bool(config.get("tie_word_embeddings"))
    rows = [_tensor_row(name, found.get(name), expected, tied, found) for name in sorted({*found, *expected})]
    rows += [{"id": name, "fault": fault} for name, fault in file_faults(folder, config, context).items()]
    return pd.DataFrame(rows, columns=["id", *_COLUMNS]).astype(object)


def file_faults(folder: Path, config: Row, context: Context) -> dict[str, str | None]:
    """Fault of each file beside the weights, null when there is none."""
    if not (folder / "tokenizer.json").is_file():
        return {"tokenizer.json": "missing"}
    ids = token_ids(folder)
    same = token_ids(Path(context["reference"])) if "reference" in context else ids
    return {
        "tokenizer.json": _vocabulary_fault(ids, same, config.get("vocab_size", 0)),
        "generation_config.json": _special_fault(folder, set(ids.values())),
        "chat template": None if _has_chat_template(folder) else "missing",
    }


def token_ids(folder: Path) -> dict[str, int]:
    """Token -> id of a folder's tokenizer.json, added tokens included."""
    tokenizer = read_json_object(str(folder / "tokenizer.json"))
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, list):
        vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
    return {**vocabulary, **{token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}}


def _expected(context: Context, config: Row, found: Mapping[str, TensorInfo]) -> dict[str, str]:
    """Tensor name -> shape. A tied head may be written or left out."""
    if "reference" in context:
        shapes = {name: _shape(info) for name, info in read_folder(Path(context["reference"])).items()}
    else:
        shapes = {name: _shape(info) for name, info in found.items()}
        shapes[EMBEDDING] = f"{config.get('vocab_size')}x{config.get('hidden_size')}"
    if config.get("tie_word_embeddings"):
        shapes.pop(HEAD, None)
        if HEAD in found:
            shapes[HEAD] = shapes[EMBEDDING]
    return shapes


def _tensor_row(
    name: str, info: TensorInfo | None, expected: Mapping[str, str], tied: bool, found: Mapping[str, TensorInfo]
) -> dict[str, Any]:
    row = {"id": name, "shape": "missing", "expected_shape": expected.get(name, "not in the reference")}
    if info is None:
        return row
    apart = tied and name == HEAD and EMBEDDING in found and not np.array_equal(info.raw(), found[EMBEDDING].raw())
    fault = "differs from the embedding it is tied to" if apart else None
    return {**row, "shape": _shape(info), "dtype": info.dtype, "nonfinite": info.nonfinite(), "fault": fault}


def _shape(info: TensorInfo) -> str:
    return "x".join(map(str, info.shape))


def _vocabulary_fault(ids: Mapping[str, int], same: Mapping[str, int], rows: int) -> str | None:
    moved = [token for token in {*ids, *same} if ids.get(token) != same.get(token)]
    if moved:
        token = min(moved)
        return f"{len(moved)} token ids differ, e.g. {token!r}: {ids.get(token)}, was {same.get(token)}"
    highest = max(ids.values(), default=-1)
    return f"token id {highest}, but the embedding has {rows} rows" if highest >= rows else None


def _special_fault(folder: Path, known: set[int]) -> str | None:
    path = folder / "generation_config.json"
    if not path.is_file():
        return "missing"
    eos = read_json_object(str(path)).get("eos_token_id")
    ends = eos if isinstance(eos, list) else [eos]
    return next((f"eos_token_id {token} is no token" for token in ends if token not in known), None)


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(read_json_object(str(path)).get("chat_template"))


def rules(context: Context) -> tuple[Rule, ...]:
    """The suite's rules."""
    dtypes = [_DTYPES[context["dtype"]]] if "dtype" in context else [*_DTYPES.values(), "F16"]
    merge = "merge the checkpoint again with the base model it was trained from"
    return (
        has_rows("give a merged model folder"),
        equal("names and shapes", "shape", "expected_shape", merge),
        one_of("dtype", "dtype", dtypes, "set merge.dtype and merge again"),
        between("finite weights", "nonfinite", 0, 0, "training diverged: lower the learning rate, resume earlier"),
        faultless("tied weights, tokenizer, generation config", "fault", merge),
    )


SUITE = Suite(table, rules)
