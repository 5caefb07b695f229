r"""A process that compares two mathematical answers symbolically; started and fed by `math_pool`.

Reads JSON lines `[prediction, gold]`, writes JSON lines `true`, `false` or `null` (undecided). Interval timers with
their default action end the whole process when one comparison takes too long, also inside C code and also when the
parent is gone: in CPU seconds, so that a busy machine changes no verdict, and more loosely in wall-clock seconds.
An address-space limit bounds what a hostile expression can take.
"""

import json
import resource
import signal
import sys
from typing import Any

ADDRESS_SPACE_BYTES = 3 * 2**30
WALL_CLOCK_FACTOR = 6


def main() -> None:
    """Serve comparisons until standard input ends."""
    limit_s = float(sys.argv[1])
    import math_verify  # noqa: F401 - loaded before the memory limit and the first timer

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        signal.setitimer(signal.ITIMER_REAL, WALL_CLOCK_FACTOR * limit_s)
        verdict = compare(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(verdict), file=answers, flush=True)


def compare(prediction: str, gold: str) -> bool | None:
    """Whether the two expressions are equal; None where memory ran out."""
    from math_verify import verify

    try:
        expected, given = _parse(gold), _parse(prediction)
        return bool(expected and given and verify(expected, given, timeout_seconds=None, raise_on_error=True))
    except (MemoryError, RecursionError):
        return None
    except Exception:  # noqa: BLE001 - the library raises anything on what it cannot relate: not equal
        return False


def _parse(answer: str) -> list[Any]:
    """What math-verify reads in an answer, LaTeX before plain expressions."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    both = (LatexExtractionConfig(), ExprExtractionConfig())
    quick = {"parsing_timeout": None, "fallback_mode": "no_fallback"}
    return parse(f"${answer}$", extraction_config=both, **quick) or parse(answer, extraction_config=both, **quick)


if __name__ == "__main__":
    main()
