"""`python -m smp.bench full | tabular | smpd30k`."""

import tyro

from smp.bench.full import full
from smp.bench.tabular import smpd30k, tabular
from smp.paths import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict(
            {"full": full, "tabular": tabular, "smpd30k": smpd30k}, description="Time and memory at full size."
        )
