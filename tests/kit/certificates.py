"""Certificates for tests: files as a process is given them, of an authority that a test may trust or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.cli.supervisor.certificates import Issued, new_authority, new_leaf, to_pem
from services.runtime.certificates import Certificates
from services.runtime.tls_files import TlsFiles
from tests.kit.events import quiet_log

DAY = timedelta(days=1)


def authority() -> Issued:
    """One that nobody trusts yet."""
    return new_authority(datetime.now(UTC), DAY)


def written(
    folder: Path, process: str, signer: Issued, *trusted: Issued, ago: timedelta = timedelta()
) -> TlsFiles:
    """Files of a process, signed by one and trusting others. `ago`: made so long ago, for one hour."""
    folder.mkdir(parents=True, exist_ok=True)
    leaf = new_leaf(process, signer, datetime.now(UTC) - ago, timedelta(hours=1))
    files = TlsFiles(folder / "own.crt", folder / "own.key", folder / "ca.pem")
    for path, content in (
        (files.key, to_pem(leaf.key)),
        (files.cert, to_pem(leaf.certificate)),
        (files.authorities, b"".join(to_pem(each.certificate) for each in trusted or (signer,))),
    ):
        draft = path.with_suffix(".new")
        draft.write_bytes(content)
        draft.replace(path)
    return files


def shown(files: TlsFiles, metrics: CollectorRegistry | None = None) -> Certificates:
    """What a process makes of them."""
    return Certificates(files, quiet_log(), metrics)
