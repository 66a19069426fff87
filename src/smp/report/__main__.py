"""Command line of the report."""

from typing import Literal

import tyro

from smp.errors import one_line_errors
from smp.report import page, readme


def main(which: tyro.conf.Positional[Literal["page", "readme"]] = "page", real: str = "", second: bool = False) -> None:
    """Write the report of what has been run so far.

    Args:
        which: page: output/report/index.html, one file to read anywhere; readme: the tables and
            pictures of README.md and exp/README.md.
        real: with readme, the name of the real data that this output folder's scores are of; they are added to the
            tables.
        second: with readme, this output folder is of a second generated data set; the answers of its studies are put
            beside those of the first.
    """
    if which == "readme":
        readme.write_second() if second else readme.write_real(real) if real else readme.write()
        return
    for path in page.write():
        print(f"report: {path}")


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main, prog="python -m smp.report")
