"""Utilities shared by the experiments of an SMP Challenge solution."""

import os
import sys
from importlib.util import find_spec

if not (find_spec("fcntl") and find_spec("resource")):
    sys.exit("error: smp locks what it writes in the way of POSIX, which Windows has not; run it in WSL (Ubuntu)")

for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
    if getattr(sys, name) is None:  # closed (`>&-`): else a file of ours takes its number, and what libraries print
        setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115

from smp.errors import excepthook  # noqa: E402

sys.excepthook = excepthook
