"""Where each service of the running platform answers: as told with `--address`, else as the supervisor noted.

With an address for every service a command needs, no platform has to run on this machine: a port forwarded
from elsewhere does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor import state

if TYPE_CHECKING:
    from services.cli.supervisor.state import RunState
    from services.runtime.certificates import Certificates

ALL = "all"
"""Stands for every service in `--address`, where one port leads to all of them."""


@dataclass(slots=True)
class Addresses:
    """Finds `host:port` by folder name of the service. `given` goes before what runs in `home`."""

    home: Home
    given: Mapping[str, str] = field(default_factory=dict)

    def all_of(self, service: str) -> tuple[str, ...]:
        """Every instance, the first one first. Raises CliError NOT_RUNNING (exit code 3)."""
        told = self.given.get(service) or self.given.get(ALL)
        return (told,) if told else self._running().grpc_addresses(service)

    def priority_of(self, service: str) -> tuple[str, ...]:
        """The priority port of every instance; none where the address was told: it says nothing of a second.
        Raises CliError NOT_RUNNING (exit code 3).
        """
        told = self.given.get(service) or self.given.get(ALL)
        return () if told else self._running().priority_addresses(service)

    def certificates(self) -> Certificates | None:
        """What to show the services: as the settings of the environment say, else the operator's certificate
        where the platform that runs here asks for one. Raises FatalError for files that do not work.
        """
        import structlog

        from services.cli.supervisor.plan import OPERATOR, tls_environment
        from services.runtime.settings import RuntimeSettings, load
        from services.runtime.tls import certificates

        told = load(RuntimeSettings)
        running = None if self.given else state.read(self.home)
        if told.tls_cert_file is None and running is not None and running.tls:
            files = tls_environment(self.home, OPERATOR)
            told = RuntimeSettings(
                tls_cert_file=Path(files["FXMESH_TLS_CERT_FILE"]),
                tls_key_file=Path(files["FXMESH_TLS_KEY_FILE"]),
                tls_ca_file=Path(files["FXMESH_TLS_CA_FILE"]),
            )
        # Standard output is for answers.
        quiet = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        )
        return certificates(told, quiet)

    def condition(self, service: str) -> str:
        """What the supervisor says of a service that does not answer, in words; empty when nobody knows."""
        running = None if service in self.given or ALL in self.given else state.read(self.home)
        if running is None:
            return ""
        instances = [each for each in running.processes if each.service == service]
        return "; ".join(
            f"{'it' if len(instances) == 1 else each.name} is {each.condition}"
            + (f", last {each.last_exit}" if each.last_exit else "")
            for each in instances
        )

    def _running(self) -> RunState:
        return state.load(self.home)


def parse(texts: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """`service=host:port` each, or several joined by commas. Raises CliError BAD_OPTION (exit code 2)."""
    found: dict[str, str] = {}
    for text in (part.strip() for each in texts for part in each.split(",")):
        service, _, address = text.partition("=")
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or service not in (*known, ALL):
            raise CliError(
                "BAD_OPTION",
                f"--address {text} is not SERVICE=HOST:PORT.",
                f"Services: {', '.join((*known, ALL))}.",
                ExitCode.USAGE,
            )
        found[service] = address
    return found
