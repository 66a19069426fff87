"""`python -m smp.tracks.demo OUT [--posts N] [--no-images] [--seed S]`: write a demo data set to the folder OUT."""

import tyro

from smp.errors import one_line_errors
from smp.tracks.demo import generate

if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(generate, prog="python -m smp.tracks.demo", config=(tyro.conf.PositionalRequiredArgs,))
