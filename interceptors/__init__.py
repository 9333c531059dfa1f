"""The mesh: what happens to every call before its handler sees it, one concern a file, read from the
contracts.

One object a side and RPC shape (`server.py`, `client.py`) runs a *plan* (`plan.py`): the hooks of all
concerns in the order below, compiled once per method from the policy in its .proto. A concern that has
nothing to do for a method is not in its plan, and a place whose concern is not built yet costs nothing: a
place is a position in the order, not a call. `standard.py` says which concerns the platform runs with.

Server, outermost first (`plan.SERVER_ORDER`)
    errors          around everything, part of the runner: whatever fails further in becomes one status
                    (`errors.py`)
    correlation     first, so that every line and every refusal below carries the id
    tracing         the span covers all that follows, refusals included
    metrics         likewise: a refused call is counted with its code
    deadline        before anything that may wait
    drain           knows who is in hand when the server goes down, and refuses the others
    admission       before any work is spent on a call that would come too late
    authentication  who calls; ends their streams when that no longer holds (`revocation.py`)
    authorization   whether they may; both before any work is spent on the call
    rate_limit      needs the principal
    faults          drills only: hits calls that are allowed, while they hold no slot
    bulkhead        last thing before work begins: what waits here is known to be allowed
    validation      every request message, of streams too, after size limit and parsing (`messages.py`)

Client, outermost first (`plan.CLIENT_ORDER`)
    errors          part of the runner: a status becomes the `FxError` it was made from
    correlation, tracing, metrics
    deadline        the call is refused when nothing is left of the caller's own
    authentication  adds the credentials of this service
    cache           wraps: an answer from here costs no token and meets no breaker
    retry           wraps: one deadline over all attempts; each attempt passes the places below
    breaker         per target
    bulkhead        last: a waiting call holds nothing else

`route.py` makes the calls and attempts, `endpoints.py` is where an attempt goes, `outcomes.py` says what its
end tells of the peer.

Only `deadline` reads a clock that matters, and it is the monotonic one.
"""
