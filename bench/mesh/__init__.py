"""The mesh beside what an engineer would use instead: the same calls, one machine, one run.

    python -m bench.mesh [--rounds 7] [--seconds 1.0] [--only bare,mesh] [--callers 1,16,64] [--sample 0.01]

bare      `grpc.aio` on both sides and nothing else: the layer that all gRPC in Python rests on
mesh      the platform's whole stack on both sides, identity included, 1 % of the calls traced
sidecars  bare `grpc.aio` through a pair of Envoys with equal deadline and retry policy
rest      FastAPI on uvicorn, called by httpx with tenacity's retries and purgatory's breaker

Every server is a process of its own, the callers of all share this one; rounds alternate, so that whatever
else the machine does meets all. Reading order: measure, stack, servers, sidecars, rest, callers, __main__.
"""
