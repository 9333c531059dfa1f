"""What the command takes from the environment beyond its options, and what programs on the stubs take.

The processes it starts inherit all of it, so that `FXMESH_TRADING_GATEWAY_...=... fxmesh up` reaches its
service.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.cli.options import DEFAULT_HOME, HOME

KEY = "FXMESH_KEY"
_PREFIX = "FXMESH_"
_OWN = frozenset({KEY, HOME, "FXMESH_ADDRESS"})


def api_key() -> str:
    """The API key to call with instead of the operator's token; empty for none."""
    return os.environ.get(KEY, "").strip()


def home_folder() -> Path:
    """The folder of the platform that is meant where no option can name it."""
    return Path(os.environ.get(HOME) or DEFAULT_HOME)


def variables_for_processes() -> frozenset[str]:
    """Names of the variables that are set for the processes rather than for the command."""
    return frozenset(name for name in os.environ if name.startswith(_PREFIX)) - _OWN


def inherited_environment() -> dict[str, str]:
    """A copy of the environment, to which each process's own settings are added.

    Seven processes that import the same libraries must not compile them seven times at every start; and
    gRPC's core says on standard error what the services say better in their logs.
    """
    left_out = ("PYTHONDONTWRITEBYTECODE", KEY)  # a person's key is no affair of the services
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {"GRPC_VERBOSITY": "NONE"} | kept
