"""Row formats of the chain's datasets, and validation with one-line errors."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from appo_core.data.readers import Row
from appo_core.data.text import listed
from appo_core.jobs.contract import JobError

RL_COLUMNS = ("data_source", "prompt", "reward_model", "extra_info")
"""Columns an RL file must have; `ability` and `metadata` may be absent."""


class RowModel(BaseModel):
    """A row of a dataset: strict types, unknown fields left out."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, populate_by_name=True)


class Message(RowModel):
    """One chat message of a prompt."""

    content: str
    role: str


class RewardModel(RowModel):
    """How a row is scored."""

    ground_truth: str
    style: str | None = None


class ExtraInfo(RowModel):
    """Where a row comes from; `index` is unique in its split."""

    index: Annotated[int, Field(ge=0)]
    need_tools_kwargs: bool | None = None
    question: str
    split: str | None = None


def _system_then_user(messages: list[Message]) -> list[Message]:
    roles = [message.role for message in messages]
    if roles != ["system", "user"]:
        raise ValueError(f"the roles must be system, user; found {', '.join(roles) or 'none'}")
    return messages


class RlRow(RowModel):
    """One prompt for reinforcement learning."""

    data_source: str
    prompt: Annotated[list[Message], AfterValidator(_system_then_user)]
    ability: str | None = None
    reward_model: RewardModel
    extra_info: ExtraInfo
    metadata: None = None


class Turn(RowModel):
    """One turn of a ShareGPT conversation."""

    role: Annotated[Literal["human", "function_call", "observation", "gpt"], Field(alias="from")]
    value: str


class SftRow(RowModel):
    """One conversation for the cold start."""

    id: Annotated[str, Field(min_length=1)]
    system: str = ""
    conversations: Annotated[list[Turn], Field(min_length=2)]


class CorpusRow(RowModel):
    """One document of the local search back end."""

    id: str
    title: str
    text: str


def schema_error(row: Row, model: type[RowModel]) -> str | None:
    """The first fault of a row as `field: what is wrong`, or None."""
    try:
        model.model_validate(row)
    except ValidationError as error:
        return _first_fault(error)
    return None


def validated(
    rows: Iterable[Row], model: type[RowModel], source: str, *, unit: str = "row", first: int = 0
) -> list[Row]:
    """Rows with exactly the model's fields; raises `JobError` naming `source`, the row's number and the field."""
    clean = []
    for number, row in enumerate(rows, start=first):
        try:
            clean.append(model.model_validate(row).model_dump(by_alias=True))
        except ValidationError as error:
            fault = _first_fault(error)
            raise JobError(f"{source}, {unit} {number}: {fault}", remedy="correct or remove this row") from None
    return clean


def require_unique(ids: list[str], source: str) -> None:
    """Raise `JobError` when two rows share an id."""
    seen: set[str] = set()
    twice = [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if twice:
        raise JobError(f"{source}: duplicate ids {listed(twice)}", remedy="give every row its own id")


def rl_id(row: Row) -> str:
    """Id of an RL row: its split and its index there."""
    return f"{row['extra_info']['split']}-{row['extra_info']['index']}"


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    found = "" if first["type"] in ("missing", "value_error") else f", found {type(first['input']).__name__}"
    return f"{field}: {first['msg'].removeprefix('Value error, ')}{found}"
