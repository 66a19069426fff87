"""Command line of the report."""

from typing import Literal

import tyro

from smp.errors import one_line_errors
from smp.report import page, readme


def main(which: tyro.conf.Positional[Literal["page", "readme"]] = "page", real: str = "") -> None:
    """Write the report of what has been run so far.

    Args:
        which: page: output/report/index.html, one file to read anywhere; readme: the tables and
            pictures of README.md and exp/README.md.
        real: with readme, the name of the real data that this output folder's scores are of; they are added to the
            tables.
    """
    if which == "readme":
        readme.write_real(real) if real else readme.write()
        return
    for path in page.write():
        print(f"report: {path}")


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main, prog="python -m smp.report")
