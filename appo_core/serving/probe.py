"""Questions to a running server over HTTP."""

import http.client
import json
import socket
import urllib.error
import urllib.request
from typing import Any

from appo_core.jobs.contract import EXIT_TRANSIENT, JobError

TIMEOUT_S = 60.0
PROBE_IDS = [1, 2, 3]
"""Token ids that every vocabulary has."""


def choose_port(host: str, port: int) -> int:
    """`port`, or a free one for 0; raises `JobError` when it is in use or the host is not this machine's."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise JobError(
                f"serve.port {port} on {host} cannot be taken: {error.strerror}",
                remedy="end what listens there, or set serve.port to 0 for a free one",
            ) from None
        return int(probe.getsockname()[1])


def healthy(base_url: str) -> bool:
    """Whether the server says that it is ready."""
    try:
        with urllib.request.urlopen(f"{base_url}/health", timeout=2) as response:  # noqa: S310 - own server
            return bool(response.status == http.client.OK)
    except (OSError, http.client.HTTPException):
        return False


def check_identity(base_url: str, served_name: str) -> None:
    """Raise `JobError` unless the server serves exactly `served_name` and completes token ids."""
    served = [model["id"] for model in _ask(f"{base_url}/v1/models")["data"]]
    if served != [served_name]:
        raise JobError(f"{base_url} serves {served}, not {served_name}", remedy="end the other server")
    body = {"model": served_name, "prompt": PROBE_IDS, "max_tokens": 1, "logprobs": 0, "temperature": 0}
    choice = _ask(f"{base_url}/v1/completions", body)["choices"][0]
    if not choice.get("logprobs", {}).get("token_logprobs"):
        raise JobError(f"{base_url} gives no log-probs", remedy="serve with vLLM's own server")


def _ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - own server
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace")[:300]
        raise JobError(f"{url} answers {error.code}: {reason}", remedy="see the server's log") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise JobError(
            f"{url} does not answer: {error}", remedy="see the server's log", exit_code=EXIT_TRANSIENT
        ) from None
