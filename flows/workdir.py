"""The pull step of every deployment: where a worker finds the code."""

import os
from pathlib import Path


def enter_checkout() -> dict[str, str]:
    """Go to the folder that holds this package: the checkout or image of whichever machine the worker runs on.

    So no deployment names a path of the machine that it was deployed from. `APPO_HOME` and `APPO_STORE` in the
    worker's environment say where it keeps local files and artifacts.
    """
    folder = Path(__file__).resolve().parents[1]
    os.chdir(folder)
    return {"directory": str(folder)}
