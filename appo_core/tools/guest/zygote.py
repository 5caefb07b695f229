"""A warm interpreter that forks one supervised, isolated process tree per call.

zygote -> supervisor (reads the request, kills at the deadline, alone writes the response)
       -> init (process 1 of the call's own namespaces) -> guest (the model's code).

Guest code holds the write ends of two pipes and nothing else, sees neither the supervisor nor the zygote, and
dies with its init. Frames on standard input and output: 4 bytes length (big endian), JSON.
"""

import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import struct
import sys
import time
from typing import Any

from . import isolation
from .execute import open_streams, run_source

CAPTURE_BYTES = 4 * 2**20
"""Of each stream this much is kept; a guest that writes `FLOOD_BYTES` is ended."""
FLOOD_BYTES = 32 * 2**20
PRELOADED = ("collections", "datetime", "decimal", "fractions", "functools", "itertools", "math", "re", "statistics",
             "string", "typing")  # fmt: skip
WARM_ON_USE = ("numpy", "sympy")
"""Imported by the zygote after the first call whose code names them, so that later calls find them loaded."""
_ENDED = 255


def serve(uid: int | None) -> None:
    """Answer calls until standard input ends."""
    requests, responses = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        select.select([requests], [], [])
        supervisor = os.fork()
        if supervisor == 0:
            os._exit(_supervise(requests, responses, uid))
        status = os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1])
        if not 0 <= status < 2 ** len(WARM_ON_USE):
            return
        for at, name in enumerate(WARM_ON_USE):
            if status >> at & 1 and name not in sys.modules:
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
                gc.freeze()


def _read_exactly(source: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(source, size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def _supervise(requests: int, responses: int, uid: int | None) -> int:
    """One call: read its request, run it, write its response; returns which modules to keep warm, as bits."""
    try:
        request = json.loads(_read_exactly(requests, struct.unpack(">I", _read_exactly(requests, 4))[0]))
    except EOFError:
        return _ENDED
    response = json.dumps(_run(request, uid, (requests, responses))).encode()
    frame = struct.pack(">I", len(response)) + response
    while frame:
        frame = frame[os.write(responses, frame) :]
    return sum(1 << at for at, name in enumerate(WARM_ON_USE) if name in request["code"])


def _run(request: dict[str, Any], uid: int | None, private: tuple[int, int]) -> dict[str, Any]:
    """Fork the isolated tree, collect its output until it ends or must be ended."""
    out, err, fault = os.pipe(), os.pipe(), os.pipe()
    started = time.monotonic()
    try:
        isolation.new_namespaces()
    except OSError as error:
        return {"fault": str(error)}
    init = os.fork()
    if init == 0:
        for descriptor in (*private, out[0], err[0], fault[0]):
            os.close(descriptor)
        _become_init(request, uid, out[1], err[1], fault[1])
    for pipe in (out, err, fault):
        os.close(pipe[1])
    ended = _collect(init, started + request["timeout_s"], streams := {out[0]: bytearray(), err[0]: bytearray()})
    status = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
    _drain(streams)
    return {
        "fault": os.read(fault[0], 4096).decode(errors="replace"),
        "ended": ended,
        "status": status - 256 if status > 128 else status,
        "out": streams[out[0]].decode(errors="replace"),
        "err": streams[err[0]].decode(errors="replace"),
    }


def _collect(init: int, deadline: float, streams: dict[int, bytearray]) -> str | None:
    """Read both streams until init ends; kill it at the deadline (`timeout`) or on a flood (`flood`)."""
    poller, alive, seen = select.poll(), os.pidfd_open(init), 0
    for descriptor in (alive, *streams):
        poller.register(descriptor, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0 and seen < FLOOD_BYTES:
        for descriptor, _ in poller.poll(left * 1000):
            if descriptor == alive:
                return None
            chunk = os.read(descriptor, 65536)
            if not chunk:
                poller.unregister(descriptor)
            seen += len(chunk)
            streams[descriptor] += chunk[: CAPTURE_BYTES - len(streams[descriptor])]
    os.kill(init, signal.SIGKILL)
    return "flood" if seen >= FLOOD_BYTES else "timeout"


def _drain(streams: dict[int, bytearray]) -> None:
    """What is left in the pipes once every writer is dead."""
    for descriptor, kept in streams.items():
        while chunk := os.read(descriptor, 65536):
            kept += chunk[: max(0, CAPTURE_BYTES - len(kept))]


def _become_init(request: dict[str, Any], uid: int | None, out: int, err: int, fault: int) -> None:
    """Process 1 of the call: isolate, fork the guest, reap everything, end with the guest's status."""
    try:
        isolation.fresh_folders()
        isolation.drop_privileges(uid)
        os.dup2(out, 1)
        os.dup2(err, 2)
        isolation.limit_resources(request["memory_bytes"], int(request["timeout_s"]) + 2)
        guest = os.fork()
    except OSError as error:
        os.write(fault, str(error).encode())
        os._exit(1)
    os.closerange(3, isolation.MAX_OPEN_FILES)
    if guest == 0:
        _become_guest(request["code"])
    while True:
        ended, status = os.wait()
        if ended == guest:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 256 + code)


def _become_guest(code: str) -> None:
    random.seed()
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()
    gc.unfreeze()
    open_streams()
    os._exit(run_source(code))
