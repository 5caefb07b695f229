"""Runs one piece of model-written code the way `python -c` does, echoing a last bare expression."""

import ast
import atexit
import os
import sys
import threading
import traceback
import types

from .isolation import limit_resources


def echo_last_expression(source: str) -> ast.Module | str:
    """The code with a last bare expression wrapped in `print`; unchanged where it calls `print` or does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not _is_print(last.value):
        call = ast.Call(func=ast.Name(id="print", ctx=ast.Load()), args=[last.value], keywords=[])
        tree.body[-1] = ast.copy_location(ast.Expr(value=call), last)
    return ast.fix_missing_locations(tree)


def _is_print(expression: ast.expr) -> bool:
    call = expression.func if isinstance(expression, ast.Call) else None
    return isinstance(call, ast.Name) and call.id == "print"


def run_source(source: str) -> int:
    """Run code in a fresh `__main__` with the streams of this process; returns the exit code."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["-c"]
    try:
        exec(compile(echo_last_expression(source), "<string>", "exec"), module.__dict__)  # noqa: S102 - sandboxed
        code = 0
    except SystemExit as leaving:
        code = _exit_code(leaving)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its outcome
        _show(error)
        code = 1
    return _finish(code)


def _exit_code(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return (leaving.code or 0) & 0xFF
    sys.stderr.write(f"{leaving.code}\n")
    return 1


def _show(error: BaseException) -> None:
    """The traceback without the frame of `run_source`."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    traceback.print_exception(type(error), error, trace)


def _finish(code: int) -> int:
    """What the interpreter does at its end: wait for threads, run exit functions, flush."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return code or 1
    return code


def open_streams() -> None:
    """Text streams over file descriptors 0, 1 and 2."""
    sys.stdin = open(0, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", 1, closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


def main(source_file: str, memory_bytes: int, cpu_s: int) -> None:
    """Run the code in a file under resource limits and end the process with its exit code."""
    with open(source_file, encoding="utf-8") as file:  # noqa: PTH123 - start-up time
        source = file.read()
    open_streams()
    limit_resources(memory_bytes, cpu_s, processes=None)
    os._exit(run_source(source))
