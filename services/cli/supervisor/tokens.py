"""Issues the tokens of a platform on one machine while it runs: one a service, one for the person in charge.

That nobody else can read the folder is what makes them the operator.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable

from services.cli.home import Home
from services.runtime.identity.issuer import Issuer
from services.runtime.identity.tokens import OPERATOR, Trust

TRUST = Trust(issuer="fxmesh", audience="fxmesh", namespace="fxmesh")
"""What the processes of such a platform are told to trust."""
_LOOK_EVERY_S = 5.0


def issuer(home: Home, services: Iterable[str]) -> Issuer:
    """The issuer of the platform in `home`, with tokens issued. Raises OSError."""
    made = Issuer(home.secrets, TRUST, (*services, OPERATOR), time.time)
    made.open()
    return made


async def keep(issuing: Issuer) -> None:
    """Renew tokens and keys when they are due, until cancelled."""
    complained = False
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        try:
            issuing.renew()
            complained = False
        except OSError as trouble:  # a full disk: the tokens that are there live on for most of an hour
            if not complained:
                print(f"cannot renew tokens: {trouble}", file=sys.stderr, flush=True)
            complained = True
