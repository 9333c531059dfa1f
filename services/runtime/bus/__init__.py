"""Events between services on NATS JetStream.

Reading order: naming (subjects, streams, partitions), events (what a contract says of an event), envelope
(headers), streams (what exists on the server), known (what did), link (the connection, on `swift`), publish,
broken (streams that store nothing); lane, worker, handling, dispatch, consume (a durable, batches, attempts,
routing, all of it kept running); held, holding, fates (what a failure means for a key); dead_letters,
parking, letters (what is stored of it, and what people order); bus (the whole, as services see it).
"""

from services.runtime.bus.bus import NatsBus
from services.runtime.bus.handling import RetryPolicy
from services.runtime.bus.link import Link
from services.runtime.bus.metrics import BusMetrics

__all__ = ["BusMetrics", "Link", "NatsBus", "RetryPolicy"]
