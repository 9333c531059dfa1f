"""What this process shows of itself, whom it trusts, and how both change while it runs.

Somebody else renews the files (`fxmesh up --tls`, cert-manager). A server looks at them at every handshake,
everybody once a second; connections that exist go on with what they began with.
"""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.typing import FilteringBoundLogger

from services.runtime.fatal import FatalError
from services.runtime.tls_files import Pem, TlsFiles, UnreadableError

LOOK_S = 1.0
"""How often changed files are looked for."""


class Certificates:
    """The current ones; `version` grows with each change. Raises FatalError for files that do not work."""

    def __init__(
        self, files: TlsFiles, log: FilteringBoundLogger, metrics: CollectorRegistry | None = None
    ) -> None:
        self._files = files
        self._log = log
        self._lock = threading.Lock()
        try:
            self._stamp, self._pem = files.stamp(), files.read()
        except UnreadableError as failure:
            raise FatalError(f"{failure}: correct FXMESH_TLS_CERT_FILE, _KEY_FILE and _CA_FILE") from failure
        self.version = 1
        self._complained = ""
        self._metrics = _Metrics(metrics)
        self._tell()

    @property
    def pem(self) -> Pem:
        """What is shown and trusted now."""
        return self._pem

    def look(self) -> bool:
        """Take over changed files; True when there were any. From any thread.

        Files that do not fit together are half-way through a change, or wrong: what worked stays.
        """
        with self._lock:
            try:
                stamp = self._files.stamp()
                if stamp == self._stamp:
                    return False
                self._pem, self._stamp = self._files.read(), stamp
            except UnreadableError as failure:
                if str(failure) != self._complained:
                    self._complained = str(failure)
                    self._log.warning("tls.not_taken_over", why=self._complained)
                return False
            self._complained = ""
            self.version += 1
        self._metrics.reloads.inc()
        self._tell()
        return True

    async def watch(self) -> None:
        """Look once a second, until cancelled; tell of a certificate that nobody renewed."""
        told = ""
        while True:
            self.look()
            condition = self._pem.condition()
            if condition and condition != told:
                self._log.error(f"tls.certificate_{condition}", not_after=self._pem.not_after.isoformat())
            told = condition
            await asyncio.sleep(LOOK_S)

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a server whose callers must show a certificate of a trusted authority."""
        given = self.version

        def changed() -> grpc.ServerCertificateConfiguration:
            # Called by gRPC for each handshake, in a thread of its own. None: nothing has changed.
            nonlocal given
            self.look()
            if given == self.version:
                return cast("grpc.ServerCertificateConfiguration", None)
            given = self.version
            return self._configuration()

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), changed, require_client_authentication=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a channel opened now."""
        return grpc.ssl_channel_credentials(self._pem.authorities, self._pem.key, self._pem.chain)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self._pem.key, self._pem.chain)], root_certificates=self._pem.authorities
        )

    def _tell(self) -> None:
        pem = self._pem
        self._metrics.not_after.set(pem.not_after.timestamp())
        self._log.info("tls.certificate", names=list(pem.names), not_after=pem.not_after.isoformat())


class _Metrics:
    def __init__(self, registry: CollectorRegistry | None) -> None:
        registry = registry or CollectorRegistry()
        self.not_after = Gauge(
            "fxmesh_tls_certificate_not_after_seconds",
            "When the certificate that is shown expires, in seconds since 1970.",
            registry=registry,
        )
        self.reloads = Counter(
            "fxmesh_tls_reloads", "Changes of certificate, key or authorities.", registry=registry
        )
