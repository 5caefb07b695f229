"""A tiny base model, built once, and what makes trajectories for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from appo_core.demo.model import build_model
from appo_core.rollout.codec import Codec
from appo_core.training.ranks import Ranks
from tests.tiny_model import SETTINGS, TEXTS


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build_model(SETTINGS.model_copy(update={"initializer_range": 0.2}), TEXTS * 4, folder)
    return folder


@pytest.fixture(scope="session")
def codec(model_folder: Path) -> Codec:
    return Codec.load(model_folder)


@pytest.fixture
def alone() -> Iterator[Ranks]:
    ranks = Ranks(0, 1, torch.device("cpu"))
    yield ranks
    ranks.stop()
