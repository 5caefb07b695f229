"""A vLLM server: started, waited for, checked to serve the intended model, and ended with all its processes."""

import time
from collections import deque
from pathlib import Path
from types import TracebackType

from appo_core.config.serve import ServeSettings
from appo_core.environments import accelerator
from appo_core.jobs.contract import EXIT_TRANSIENT, JobError
from appo_core.processes import Process, clean_environment
from appo_core.serving.command import server_command, server_environment
from appo_core.serving.log_cause import cause
from appo_core.serving.probe import check_identity, choose_port, healthy

POLL_S = 0.25
TAIL_LINES = 400
GRACE_S = 10.0


class ModelServer:
    """One running server. `base_url` is `http://host:port`; the OpenAI endpoints lie below `/v1`.

    The server and everything it started end with `stop`, with the `with` block, and with this process.
    """

    def __init__(self, process: Process, base_url: str, served_name: str, tail: deque[str]) -> None:
        self.base_url = base_url
        self.served_name = served_name
        self.started_in_s = 0.0
        self._process = process
        self._tail = tail

    @classmethod
    def start(cls, model: Path, served_name: str, settings: ServeSettings, *, python: Path, log: Path) -> "ModelServer":
        """Serve the Hugging Face folder `model` as `served_name` with the engine environment's `python`.

        Returns when the server is healthy and its identity is checked. Raises `JobError` that names the cause when
        the folder is no model, the port is in use, the server ends early, is not ready in time, or serves another
        model; nothing is left running then.
        """
        if not (model / "config.json").is_file():
            raise JobError(f"{model} has no config.json", remedy="give a Hugging Face model folder")
        cpu = accelerator() == "cpu"
        port = choose_port(settings.host, settings.port)
        argv = [str(python), *server_command(model, served_name, settings, port, cpu=cpu)]
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        environment = clean_environment(server_environment(cpu=cpu))
        begun = time.monotonic()
        process = Process.start(argv, env=environment, cwd=log.parent, log=log, on_line=tail.append)
        server = cls(process, f"http://{settings.host}:{port}", served_name, tail)
        try:
            server._wait_ready(settings.start_timeout_s)
            server._check_identity()
        except BaseException:
            server.stop(grace_s=0)
            raise
        server.started_in_s = time.monotonic() - begun
        return server

    def _wait_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not healthy(self.base_url):
            self.check()
            if time.monotonic() >= deadline:
                raise JobError(
                    f"the server was not ready after {timeout_s:g} s; its last line: {cause(list(self._tail)[-1:])}",
                    remedy="raise serve.start_timeout_s or see the server's log",
                    exit_code=EXIT_TRANSIENT,
                )
            time.sleep(POLL_S)

    def _check_identity(self) -> None:
        try:
            check_identity(self.base_url, self.served_name)
        except JobError as error:
            reason = cause(self._tail)
            raise JobError(f"{error.message} ({reason})", remedy=error.remedy, exit_code=error.exit_code) from None

    @property
    def alive(self) -> bool:
        """Whether the server's main process still runs."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise `JobError` with the cause when the server has ended."""
        code = self._process.poll()
        if code is None:
            return
        self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise JobError(
            f"the server of {self.served_name} {how}: {cause(self._tail)}",
            remedy="see the server's log",
            exit_code=EXIT_TRANSIENT,
        )

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End the server and every process it started."""
        self._process.stop(grace_s)

    def __enter__(self) -> "ModelServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
