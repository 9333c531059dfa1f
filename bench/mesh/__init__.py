"""The mesh beside what an engineer would use instead: the same calls, one machine, one run.

    python -m bench.mesh [--rounds 7] [--seconds 1.0] [--only bare,mesh] [--callers 1,16,64] [--rates 2000]

bare         `grpc.aio` on both sides and nothing else: the layer that all gRPC in Python rests on
bare-uvloop  the same on uvloop, which is the mesh's loop: what of its speed is the loop's
mesh         the platform's whole stack on both sides, identity included, 1 % of the calls traced
sidecars     bare `grpc.aio` through a pair of Envoys with equal deadline and retry policy
rest         FastAPI on uvicorn, called by httpx with tenacity's retries and purgatory's breaker

Callers that call again as soon as they are answered show what is possible at most; calls at an even rate
below that show what one takes when it need not wait for others. Servers and callers of each way are processes
of their own; rounds alternate, so that whatever else the machine does meets all. Reading order: measure,
stack, child, servers, callers, sidecars, rest, ways, __main__.
"""
