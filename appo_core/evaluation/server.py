"""Is the server there, and does it serve the intended model?"""

from typing import Any

import httpx

from appo_core.jobs.contract import EXIT_TRANSIENT, JobError


async def served_models(client: httpx.AsyncClient, model: str, *, what: str) -> dict[str, Any]:
    """What `/models` says about `model`; raises `JobError` when it is not served there or nobody answers."""
    url = f"{str(client.base_url).rstrip('/')}/models"
    try:
        reply = await client.get("models")
        reply.raise_for_status()
        cards = {str(card["id"]): card for card in reply.json()["data"]}
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise JobError(
            f"{what}: {url} gives no list of models ({type(error).__name__}: {error})",
            remedy="check that the server runs and that the address and key are right",
            exit_code=EXIT_TRANSIENT,
        ) from error
    if model not in cards:
        raise JobError(
            f"{what}: {url} serves {', '.join(cards) or 'nothing'}, not {model}",
            remedy="start the server with the intended model, or correct the served name",
        )
    return dict(cards[model])


async def check_server(base_url: str, model: str, needed_tokens: int) -> dict[str, Any]:
    """Raise `JobError` unless `model` is served at `base_url` with room for `needed_tokens` per request."""
    async with httpx.AsyncClient(base_url=base_url, timeout=30.0, trust_env=False) as client:
        card = await served_models(client, model, what="evaluation")
    room = card.get("max_model_len")
    if isinstance(room, int) and room < needed_tokens:
        raise JobError(
            f"evaluate.limits: max_prompt_tokens + max_response_tokens is {needed_tokens}, {model} is served with "
            f"max_model_len {room}",
            remedy="lower the limits or raise serve.max_model_len",
        )
    return card
