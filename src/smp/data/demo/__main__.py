"""`python -m smp.data.demo OUT [--posts N] [--no-images] [--seed S]`: write a demo data set to the folder OUT."""

import tyro

from smp.data.demo import generate
from smp.paths import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(generate, prog="python -m smp.data.demo", config=(tyro.conf.PositionalRequiredArgs,))
