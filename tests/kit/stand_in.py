"""A stand-in for a service process: answers /health as told, and misbehaves as told.

Run as `python stand_in.py <port> <behaviour>`. Its working folder is its data folder, where `started` counts
its launches. It prints log lines as services do.
"""

import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_UP = {"state": "up", "required": True, "detail": ""}
_DOWN = {"state": "down", "required": False, "detail": "not found"}


def main(port: int, behaviour: str) -> int:
    launches = Path("started")
    count = int(launches.read_text()) + 1 if launches.exists() else 1
    launches.write_text(str(count))
    say(f"launch {count}")
    if behaviour.startswith("crash"):
        for number in range(20):
            say(f"line {number}")
        sys.stdout.write(behaviour.removeprefix("crash").strip() + "\n")
        return 7
    if behaviour == "serves once" and count > 1:
        return 9
    if behaviour == "parent":
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        Path("grandchild").write_text(str(child.pid))
    status = {"degraded": "degraded", "never ready": "starting"}.get(behaviour, "serving")
    serve(port, status, deaf=behaviour == "deaf")
    return 0


def serve(port: int, status: str, deaf: bool) -> None:
    body = {"status": status, "dependencies": {"bus": _UP, "peer": _DOWN if status == "degraded" else _UP}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps(body).encode()
            self.send_response(200 if status in {"serving", "degraded"} else 503)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return

    def drain(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    # Before anything listens, so that whoever saw it serve knows that this is in force.
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else drain)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    say("serving")
    server.serve_forever()
    say("drained")


def say(text: str) -> None:
    record = {"time": "2026-01-02T03:04:05.678901Z", "level": "info", "event": text}
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
