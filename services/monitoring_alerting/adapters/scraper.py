"""Reads /health and /metrics of an instance over HTTP, on threads: seven small answers every other second."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.parser import text_string_to_metric_families

from services.monitoring_alerting.domain.health import ServiceHealth, ServiceStatus
from services.monitoring_alerting.domain.series import Definition, Sample
from services.monitoring_alerting.ports import Scrape, Target

# Histogram buckets are for Prometheus; here they would be nine tenths of the memory.
LEFT_OUT = ("_bucket{", "_created{", "_created ")


class HttpScraper:
    """`ports.Scraper`."""

    def __init__(self, timeout_s: float, threads: int = 8) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, "scrape")

    async def scrape(self, target: Target) -> Scrape:
        """One instance; what goes wrong is in its health."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._scrape, target)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _scrape(self, target: Target) -> Scrape:
        began = time.monotonic()
        try:
            health = self._get(target.address, "/health")
            metrics = self._get(target.address, "/metrics")
            content = json.loads(health)
            samples, definitions = _parsed(metrics, target)
            status = _STATUS.get(content["status"], ServiceStatus.NOT_SERVING)
            dependencies = [(name, each["state"]) for name, each in content["dependencies"].items()]
        # HTTPException: it was killed in the middle of its answer.
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            return Scrape(_unreachable(target, error, time.monotonic() - began), (), ())
        latency_s = time.monotonic() - began
        found = ServiceHealth(
            target.service,
            target.instance_id,
            target.address,
            status,
            dependencies,
            time.time(),
            latency_s,
        )
        return Scrape(found, samples, definitions)

    def _get(self, address: str, path: str) -> str:
        try:
            # The address comes from the registry, the scheme is fixed.
            with urllib.request.urlopen(f"http://{address}{path}", timeout=self._timeout_s) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as refused:
            content = refused.read()  # 503 with the same JSON: alive, not serving
        return content.decode()


_STATUS = {status.value: status for status in ServiceStatus}


def _unreachable(target: Target, error: Exception, latency_s: float) -> ServiceHealth:
    why = (
        "does not answer"
        if isinstance(error, OSError | http.client.HTTPException)
        else "answers with something unreadable"
    )
    return ServiceHealth(
        target.service,
        target.instance_id,
        target.address,
        ServiceStatus.UNREACHABLE,
        (),
        time.time(),
        latency_s,
        f"{target.address} {why}",
    )


def _parsed(text: str, target: Target) -> tuple[list[Sample], list[Definition]]:
    """Samples with the service and instance as labels."""
    samples, definitions = [], []
    # Left out before they are parsed: parsing every bucket of seven services costs a tenth of a core.
    kept = "\n".join(line for line in text.splitlines() if not any(name in line for name in LEFT_OUT))
    for family in text_string_to_metric_families(kept):
        for sample in family.samples:
            labels = {**sample.labels, "service": target.service, "instance": target.instance_id}
            samples.append(Sample(sample.name, tuple(sorted(labels.items())), sample.value))
        names = {sample.name for sample in family.samples}
        definitions += [Definition(name, family.type, family.documentation) for name in sorted(names)]
    return samples, definitions
