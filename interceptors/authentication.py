"""Who calls: `authorization` metadata, or the certificate that a peer has shown. And who we are ourselves."""

from __future__ import annotations

from collections.abc import Callable

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from interceptors.revocation import OpenStreams
from services.runtime import context
from services.runtime.identity.authenticator import Authenticator
from services.runtime.identity.proof import Proof
from services.runtime.identity.token_file import AUTHORIZATION, TokenFile
from services.runtime.policy import MethodPolicy, Shape
from services.runtime.tls import certificate_names


class Authentication:
    """Sets the principal of a call, or refuses it with UNAUTHENTICATED. Open methods are left out."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._streams = OpenStreams(authenticator)

    def server(self, method: MethodPolicy) -> Hook[ServerCall] | None:
        """For every method that names a scope."""
        if not method.scope:
            return None
        if method.shape is Shape.UNARY:
            return Hook(enter=self._receive)
        return Hook(enter=self._receive_stream, leave=self._streams.leave)

    def _receive(self, call: ServerCall) -> None:
        self._prove(call)

    def _receive_stream(self, call: ServerCall) -> None:
        self._streams.enter(call, self._prove(call))

    def _prove(self, call: ServerCall) -> Proof:
        given = call.metadata.get(AUTHORIZATION)
        proof = (self._by_certificate(call) if given is None else None) or self._authenticator.proof(given)
        call.principal = proof.principal
        # Each call is served in a task of its own, so there is nothing to set back.
        context.principal.set(proof.principal)
        return proof

    def _by_certificate(self, call: ServerCall) -> Proof | None:
        names = certificate_names(call.context.auth_context() or {})  # None where there is no TLS
        return self._authenticator.of_certificate(names)


def client(own: TokenFile) -> Callable[[MethodPolicy], Hook[ClientCall] | None]:
    """Adds the token of this process to every call that is not open."""

    def send(call: ClientCall) -> None:
        call.metadata.append(own.entry())

    hook: Hook[ClientCall] = Hook(enter=send)
    return lambda method: hook if method.scope else None
