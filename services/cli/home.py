"""The folder of one platform: where its state, logs, data and fetched tools lie.

run/state.json  what runs and where (supervisor/state)     data/<service>  each service's own files
run/lock        held for as long as anything runs           nats/           JetStream's store
logs/<name>.log this run; `<name>.previous.log` the last    tools/          nats-server, where it was fetched
secrets/        passwords, keys, tokens, certificates: for the owner only
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """`root` is absolute, so that a daemon and its children agree on it whatever their working folder."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> Home:
        """The home at `path`, resolved against the working folder; nothing is created."""
        return cls(path.expanduser().absolute())

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def secrets(self) -> Path:
        """Signing keys, tokens, whatever else must stay with the owner: mode 0700, files 0600."""
        return self.root / "secrets"

    @property
    def key_set(self) -> Path:
        """Public keys by which the tokens of this platform are checked."""
        return self.secrets / "jwks.json"

    def token(self, account: str) -> Path:
        """The token of a service, by folder name, or of the operator."""
        return self.secrets / "tokens" / f"{account}.jwt"

    @property
    def nats_config(self) -> Path:
        return self.run / "nats.conf"

    @property
    def envoy_config(self) -> Path:
        return self.run / "envoy.json"

    @property
    def nats_secrets(self) -> Path:
        return self.secrets / "nats"

    @property
    def nats_users(self) -> Path:
        return self.nats_secrets / "users.conf"

    @property
    def tls_secrets(self) -> Path:
        return self.secrets / "tls"

    @property
    def tools(self) -> Path:
        return self.root / "tools"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def previous_log(self, process: str) -> Path:
        return self.logs / f"{process}.previous.log"
