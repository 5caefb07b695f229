"""A tiny model and its tokenizer, for every test of this room."""

from pathlib import Path

import pytest

from appo_core.rollout.codec import Codec

from .tiny import build_model, build_tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def codec(tokenizer_folder: Path) -> Codec:
    return Codec.load(tokenizer_folder)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build_tokenizer(folder)
    build_model(folder)
    return folder
