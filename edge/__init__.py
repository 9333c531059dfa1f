"""The edge: Envoy in front of the seven services, for whoever does not speak gRPC with generated stubs.

Nothing here lists a path, a method or a deadline: all of it is read from the contracts.

Reading order: `rest` (the REST form of each method), `descriptors` (the contracts as Envoy wants them);
Envoy's configuration in `envoy`, with `routes`, `filters`, `upstreams`, `replies`, the two `.lua` files and
`settings`; `body`, `scalars` and `query` (what a person typed, held against a message type), `gate` (the
decision about one REST request), `door` (the gate behind HTTP, where Envoy asks), `built_in` (reflection and
health for all services), `__main__` (the gate's process).
"""
