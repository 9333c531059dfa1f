"""`python -m services.cli`: the `fxmesh` command where the script is not on PATH."""

import sys

from services.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
