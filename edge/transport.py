"""mTLS between Envoy and those it calls: which certificate it shows, and what theirs must say."""

from __future__ import annotations

from edge.settings import UpstreamTls
from edge.typed import Json, of_type, typed

GATE_PROCESS = "edge_gate"
"""What the gate's certificate calls it."""
_OWN, _AUTHORITIES = "own", "authorities"
_PACKAGE = "envoy.extensions.transport_sockets.tls.v3"


def secured(tls: UpstreamTls | None, process: str) -> Json:
    """The part of a cluster that makes its connections mTLS, to a process by folder name; empty without."""
    if tls is None:
        return {}
    name = {"san_type": "URI", "matcher": {"exact": f"spiffe://fxmesh/{process}"}}
    context = {
        "sni": process.replace("_", "-"),
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [_followed(_OWN, tls.certificate)],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [name]},
                "validation_context_sds_secret_config": _followed(_AUTHORITIES, tls.authorities),
            },
        },
    }
    return {
        "transport_socket": typed("envoy.transport_sockets.tls", context, f"{_PACKAGE}.UpstreamTlsContext")
    }


def certificate_file(cert: str, key: str) -> Json:
    """What the file `UpstreamTls.certificate` holds. Envoy follows both PEM files, too."""
    files = {"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}
    return _secret({"name": _OWN, "tls_certificate": files})


def authorities_file(authorities: str) -> Json:
    """What the file `UpstreamTls.authorities` holds."""
    trusted = {"trusted_ca": {"filename": authorities}}
    return _secret({"name": _AUTHORITIES, "validation_context": trusted})


def _secret(secret: Json) -> Json:
    return {"resources": [of_type(f"{_PACKAGE}.Secret", secret)]}


def _followed(name: str, path: str) -> Json:
    source = {"path_config_source": {"path": path}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}
