"""What a process needs to be part of the mesh; nothing here knows what any service does.

Reading order: `mesh` (what a service is handed, what it hands back), `run` (the life of a process), `ports`
(what lies behind), then one concern a file: `settings`, `logs`, `telemetry`, `traces`, `http`, `health`,
`serve`, `channels`, `bus`, `registry`, `outbox`, `clock`, `ids`, `policy` (reads the contracts), `context`
(what a call carries). The `memory_*` files are the same things inside one process. Nothing is imported here
but structlog, for the sake of how (`lean`), so that each part stays cheap to load.
"""

from services.runtime.lean import load_structlog

load_structlog()
