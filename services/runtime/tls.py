"""mTLS between processes, as the settings ask for it: both sides show a certificate and check the other's.

Names in a certificate: the DNS name of the service, which callers check, and `spiffe://fxmesh/<folder>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from services.runtime.fatal import FatalError
from services.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from structlog.typing import FilteringBoundLogger

    from services.runtime.certificates import Certificates


def certificates(
    settings: RuntimeSettings, log: FilteringBoundLogger, metrics: CollectorRegistry | None = None
) -> Certificates | None:
    """Those of the settings, None for plaintext. Raises FatalError for some of the three files, or wrong
    ones.
    """
    given = (settings.tls_cert_file, settings.tls_key_file, settings.tls_ca_file)
    if given == (None, None, None):
        return None
    cert, key, authorities = given
    if cert is None or key is None or authorities is None:
        raise FatalError(
            "FXMESH_TLS_CERT_FILE, FXMESH_TLS_KEY_FILE and FXMESH_TLS_CA_FILE belong together: "
            "set all three or none"
        )
    # A process without TLS need not load the library.
    from services.runtime.certificates import Certificates
    from services.runtime.tls_files import TlsFiles

    return Certificates(TlsFiles(cert, key, authorities), log, metrics)


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """What the caller's certificate calls it: DNS names and URIs, in its order; none for a plaintext caller.

    `auth_context` is that of the server's context of a call. The authority was checked in the handshake.
    """
    if b"ssl" not in auth_context.get("transport_security_type", ()):
        return ()
    return tuple(
        name.decode("ascii", "replace") for name in auth_context.get("x509_subject_alternative_name", ())
    )
