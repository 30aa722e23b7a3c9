"""Compiled modules of Python, kept with the compile cache where the image holds none.

An image whose installer compiled nothing, and whose files belong to root, compiles every module
anew at each start. Python reads compiled modules from another folder just as well, and needs not
write there, so these are used where they lie and never copied.
See https://docs.python.org/3/library/sys.html#sys.pycache_prefix
"""

import sys
from collections.abc import MutableMapping

from runtime.kept_cache import Kept

KIND = "pyc"
"""Folder of the kept cache."""

VARIABLE = "PYTHONPYCACHEPREFIX"


def use(kept: Kept, environ: MutableMapping[str, str]) -> bool:
    """Let Python, here and in processes to come, read what was kept; False where nothing was.

    A prefix that is set already stays.
    """
    there = any(file.path.startswith(f"{KIND}/") for file in kept.files)
    if not there or environ.get(VARIABLE):
        return False
    environ[VARIABLE] = sys.pycache_prefix = str(kept.folder / KIND)
    return True
