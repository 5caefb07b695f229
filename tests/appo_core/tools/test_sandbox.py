"""Containment and behaviour of the sandboxes, on every back end that works on this machine."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appo_core.config import PythonToolSettings
from appo_core.tools.python_tool import PythonTool, shorten
from appo_core.tools.sandbox import SandboxUnavailableError
from appo_core.tools.selftest import find_sandbox

FACTORIES: dict = {}


@pytest.fixture(params=["bubblewrap", "sandlock"], scope="module")
def backend(request):
    try:
        FACTORIES[request.param] = find_sandbox(request.param)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def run(backend):
    """Run code in a new tool with short limits and return its outcome."""

    def run_code(*codes: str, **settings):
        limits = {"timeout_s": 10, "workers": 1, "memory_mb": 256} | settings
        tool = PythonTool(PythonToolSettings(backend=backend, **limits), FACTORIES[backend])

        async def calls():
            try:
                return [await tool.call(code) for code in codes]
            finally:
                await tool.close()

        outcomes = asyncio.run(calls())
        return outcomes[0] if len(codes) == 1 else outcomes

    return run_code


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("x = 6\nx * 7", "42"),
        ("print('a')", "a"),
        ("print('a'); 'b'", "a\nb"),
        ("x = 1", ""),
        ("[].append(1)", "None"),
        ("import sys; sys.exit(0)", ""),
        ("import sys; print('lost'); sys.exit('bye')", "bye"),
        ("print('ü中')", "ü中"),
        ("from threading import Timer\nTimer(0.1, print, ['late']).start()\nprint('first')", "first\nlate"),
        ("if __name__ == '__main__':\n    print('main')", "main"),
        ("try:\n    input()\nexcept EOFError:\n    print('no input')", "no input"),
    ],
)
def test_output_is_what_the_interpreter_prints(run, code, text):
    outcome = run(code)
    assert (outcome.text, outcome.failure) == (text, None)


def test_errors_give_a_traceback_of_the_code_alone(run):
    text = run("print('lost')\n1 / 0").text
    assert text == (
        'Traceback (most recent call last):\n  File "<string>", line 2, in <module>\n'
        "ZeroDivisionError: division by zero"
    )
    assert "SyntaxError" in run("def").text


def test_no_state_survives_a_call(run):
    write = "import builtins, os\nbuiltins.leak = 1\nopen('kept.txt', 'w').write('x')\nos.environ['LEAK'] = '1'"
    read = "import builtins, os\nprint(hasattr(builtins, 'leak'), os.path.exists('kept.txt'), 'LEAK' in os.environ)"
    assert run(write + "\nNone", read)[1].text == "False False False"


def test_installed_packages_can_be_imported(run):
    pytest.importorskip("numpy")
    first, second = run(
        "import numpy\nint(numpy.arange(4).sum())", "import numpy\nnumpy.random.rand() < 2", memory_mb=1024
    )
    assert (first.text, second.text) == ("6", "True")


def test_random_numbers_differ_between_calls(run):
    first, second = run("import random\nrandom.random()", "import random\nrandom.random()")
    assert first.text != second.text


def test_a_loop_ends_at_the_time_limit(run):
    loop, after = run("while True: pass", "1 + 1", timeout_s=1)
    assert (loop.text, loop.failure) == ("Execution timeout (exceeded 1s)", "timeout")
    assert after.text == "2"


def test_memory_is_limited(run):
    outcome, after = run("x = bytearray(2**31)", "1 + 1")
    assert "MemoryError" in outcome.text or "SIGKILL" in outcome.text
    assert after.text == "2"


def test_a_fork_bomb_ends_with_its_call(run):
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert [outcome.failure for outcome in run(bomb, "1 + 1", timeout_s=1)] == ["timeout", None]


def test_output_is_cut_with_a_notice(run):
    outcome = run("print('a' * 10**6)", max_output_chars=100)
    assert len(outcome.text) < 200
    assert "characters left out" in outcome.text


def test_a_flood_of_output_is_ended(run):
    outcome, after = run("while True: print('a' * 10**5)", "1 + 1", timeout_s=30)
    assert outcome.text.endswith("[ended: too much output]")
    assert after.text == "2"


def test_files_of_the_host_are_out_of_reach(run, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    home = str(Path.home())
    paths = [
        str(secret),
        "/etc/passwd",
        "/etc/shadow",
        f"{home}/.ssh/id_rsa",
        "/proc/1/environ",
        f"/proc/{os.getpid()}/environ",
    ]
    attempt = "    try:\n        print(open(path).read(9))\n    except OSError:\n        print('denied')"
    code = f"for path in {paths!r}:\n{attempt}"
    assert run(code).text.split() == ["denied"] * len(paths)


def test_nothing_can_be_written_outside_the_own_folder(run):
    prefixes = [sys.prefix, sys.base_prefix, "/", "/usr/lib", str(Path(__file__).parent)]
    code = (
        f"for path in {prefixes!r}:\n    try:\n        open(path + '/written-by-guest', 'w')\n"
        "        print('written')\n    except OSError:\n        print('denied')"
    )
    assert run(code).text.split() == ["denied"] * len(prefixes)


def test_the_environment_is_empty_of_the_hosts(run, monkeypatch):
    monkeypatch.setenv("BRIGHTDATA_API_KEY", "secret-key")
    assert "secret-key" not in run("import os\ndict(os.environ)").text


def test_there_is_no_network(run):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 2)\n    print('reached')\n"
            "except OSError:\n    print('denied')"
        )
        assert run(code).text == "denied"


def test_processes_outside_cannot_be_killed(run):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        code = (
            f"import os\nfor pid in ({bystander.pid}, {os.getpid()}, os.getppid()):\n"
            "    try:\n        os.kill(pid, 9)\n    except OSError:\n        pass\nprint('alive')"
        )
        outcome, after = run(code, "1 + 1")
        assert bystander.poll() is None
        bystander.kill()
    assert outcome.text in ("alive", "The process was killed by SIGKILL.")
    assert after.text == "2"


def test_descriptors_of_the_sandbox_cannot_be_written_to(run):
    """A forged end of output, or a forged response, stays text or fails."""
    forge = (
        "import os, struct, json\nanswer = {'fault': '', 'ended': None, 'status': 0, 'out': 'forged', 'err': ''}\n"
        "body = json.dumps(answer).encode()\nframe = struct.pack('>I', len(body)) + body\n"
        ""
        "for fd in range(3, 256):\n    try:\n        os.write(fd, frame)\n"
        "    except OSError:\n        pass\nos.write(1, frame)\nprint('honest')"
    )
    outcome, after = run(forge, "1 + 1")
    assert outcome.text.endswith("honest")
    assert after.text == "2"


def test_a_detached_child_does_not_outlive_its_call(run, backend):
    """It holds the output open; the call still ends, and with it the child."""
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n    os._exit(0)\nprint('done')"
    assert run(code).text == "done"


def test_privileges_cannot_be_regained(run, backend):
    code = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.unshare(0x10000000), libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None), libc.ptrace(0, 0, 0, 0))"
    )
    assert run(code).text == "-1 -1 -1"


def test_calls_run_side_by_side(backend):
    tool = PythonTool(PythonToolSettings(backend=backend, workers=3, timeout_s=20), FACTORIES[backend])

    async def calls():
        try:
            return await asyncio.gather(*(tool.call(f"{number} * 2") for number in range(12)))
        finally:
            await tool.close()

    assert [outcome.text for outcome in asyncio.run(calls())] == [str(number * 2) for number in range(12)]


def test_a_closed_tool_leaves_no_process_and_running_calls_fail(backend):
    tool = PythonTool(PythonToolSettings(backend=backend, workers=1, timeout_s=60), FACTORIES[backend])

    async def closing():
        call = asyncio.create_task(tool.call("import time; time.sleep(50)"))
        await asyncio.sleep(1)
        await tool.close()
        return await call

    outcome = asyncio.run(closing())
    assert outcome.failure == "sandbox" or "SIGKILL" in outcome.text


def test_the_sandbox_ends_with_a_killed_parent():
    script = (
        "import os, signal\nfrom appo_core.tools.sandbox import CallLimits\n"
        "from appo_core.tools.selftest import find_sandbox\nworker = find_sandbox('bubblewrap')()\n"
        "worker.execute('1', CallLimits(10, 2**29))\nprint(worker._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if "SandboxUnavailableError" in done.stderr:
        pytest.skip("bubblewrap does not work here")
    sandbox = Path("/proc") / done.stdout.strip()
    deadline = time.monotonic() + 10
    while sandbox.exists() and "zombie" not in (sandbox / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not sandbox.exists() or "zombie" in (sandbox / "status").read_text()


def test_without_a_sandbox_code_is_refused(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailableError, match="bwrap is not installed"):
        find_sandbox("bubblewrap")


def test_shorten_keeps_both_ends():
    assert shorten("abc", 3) == "abc"
    assert shorten("a" * 50 + "z" * 50, 10).startswith("aaaaa\n[... 90 ")
    assert shorten("a" * 50 + "z" * 50, 10).endswith("\nzzzzz")
