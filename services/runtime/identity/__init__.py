"""Who calls, and what they may.

Reading order: principal (what a caller turned out to be), rights (what the contracts allow), keys and
snapshot (API keys, revocations), jwks and tokens (service-account tokens), proof (what credentials have
proved, and what takes it away), authenticator (the decision), bucket (how keys and revocations come from
NATS), token_file (this process's own credentials), identity (all of it from settings), issuer (tokens on one
machine).
"""

from services.runtime.identity.principal import ANONYMOUS, Principal, PrincipalKind

__all__ = ["ANONYMOUS", "Principal", "PrincipalKind"]
