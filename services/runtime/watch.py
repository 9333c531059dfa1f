"""Loops that keep a process's health true: its own dependencies every few seconds, its peers as they come and
go, and whether peers still take its calls.
"""

from __future__ import annotations

import asyncio

from services.errors import FxError
from services.runtime.health import Health, tell
from services.runtime.identity.authenticator import Authenticator
from services.runtime.mesh import Dependency
from services.runtime.policy import ServicePolicy, service_policy
from services.runtime.ports import Registry

_EVERY_S = 5.0
_CHECK_TIMEOUT_S = 5.0


async def check_dependency(dependency: Dependency, health: Health) -> None:
    """Run one check and set the dependency's state. What it raises becomes the detail: the sentence of an
    FxError, of others type and text.
    """
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await dependency.check()
    except TimeoutError:
        health.down(dependency.name, f"no answer within {_CHECK_TIMEOUT_S:g} s")
    except FxError as failure:
        health.down(dependency.name, failure.detail)
    except Exception as failure:  # noqa: BLE001 any failure of a check means the same
        health.down(dependency.name, f"{type(failure).__name__}: {failure}")
    else:
        health.up(dependency.name)


async def watch_dependency(dependency: Dependency, health: Health) -> None:
    """Check again and again until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_S)
        await check_dependency(dependency, health)


async def watch_peers(policy: ServicePolicy, registry: Registry, health: Health) -> None:
    """Follow the registry until cancelled: a peer without an instance degrades this process and no more."""
    names = {peer: service_policy(peer).name for peer in policy.peers if peer != policy.full_name}
    for name in names.values():
        health.starting(name, "not seen yet", required=False)
    while True:
        for peer, name in names.items():
            if registry.endpoints(peer):
                health.up(name)
            else:
                health.down(name, "no instance is running")
        await registry.changed()


async def watch_standing(service: str, authenticator: Authenticator, health: Health) -> None:
    """Tell until cancelled whether the identity of this process, by folder name, is revoked: it goes on
    serving and none of its calls is taken, which would else show as failures of all that needs a peer.
    """

    def trouble() -> str:
        if service not in authenticator.known.denied_services:
            return ""
        remedy = f"take it back with `fxmesh keys allow --service {service}`"
        return f"revoked: peers refuse its calls; {remedy}"

    await tell(health, "own identity", trouble)


async def watch_revocations(authenticator: Authenticator, health: Health) -> None:
    """Tell until cancelled of refusals that NATS has lost: they hold here, and not in processes to come."""

    def trouble() -> str:
        lost = sorted(
            f"--service {each.service}" if each.service else f"--token {each.token_id}"
            for each in authenticator.known.lost
        )
        if not lost:
            return ""
        again = ", ".join(f"`fxmesh keys revoke {each}`" for each in lost)
        return (
            "NATS has lost what was revoked, which a process that starts now will not refuse: "
            f"say again {again}, or take it back with `fxmesh keys allow`"
        )

    await tell(health, "revocations", trouble)
