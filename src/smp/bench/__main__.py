"""`python -m smp.bench full | tabular | representations | gpu | readme`."""

import tyro

from smp.bench.full import full, readme
from smp.bench.gpu import gpu
from smp.bench.tabular import representations, tabular
from smp.errors import one_line_errors

COMMANDS = {"full": full, "tabular": tabular, "representations": representations, "gpu": gpu, "readme": readme}

if __name__ == "__main__":
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict(COMMANDS, description="Time and memory at full size.")
