"""Utilities shared by the experiments of an SMP Challenge solution."""

import sys

from smp.errors import excepthook

sys.excepthook = excepthook
