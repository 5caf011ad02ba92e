"""Requests and time -> the numbers that vLLM 0.32 shows on /metrics, by names, labels and buckets of a real page."""

from __future__ import annotations

import random
from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MODEL = "demo-70b"
SEQUENCES = 8
TOKENS_PER_REQUEST = 120
PROMPT_TOKENS = 300
KV_TOKENS = 6_000
TOKENS_PER_SECOND_AND_SEQUENCE = 60.0
LATENCY_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0)
FIRST_TOKEN_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0)
STEP_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


class Engine:
    """One engine from its start: a restart is a new one, whose counters begin at 0."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting: deque[float] = deque()
        self._running: dict[int, tuple[float, float]] = {}
        self._owed = 0.0
        self._next = 0
        self._time = 0.0
        self.registry = CollectorRegistry()
        self._show_running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self._show_waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        self._show_cache = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        self._prompt = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self._generated = self._counter("generation_tokens", "Number of generation tokens processed.")
        self._preempted = self._counter("num_preemptions", "Cumulative number of preemption from the engine.")
        self._done = self._counter(
            "request_success", "Count of successfully processed requests.", finished_reason="length"
        )
        self._steps = self._histogram("iteration_tokens_total", "Tokens per engine step.", (1.0, 8.0, 64.0, 512.0))
        self._first = self._histogram("time_to_first_token_seconds", "Time to first token.", FIRST_TOKEN_BUCKETS)
        self._between = self._histogram("inter_token_latency_seconds", "Inter-token latency.", STEP_BUCKETS)
        self._whole = self._histogram("e2e_request_latency_seconds", "End-to-end latency.", LATENCY_BUCKETS)
        self._queued = self._histogram("request_queue_time_seconds", "Time spent waiting.", LATENCY_BUCKETS)
        self.show()

    def ask(self, seconds: float, requests_per_second: float) -> None:
        """Let requests arrive for so long."""
        self._time += seconds
        self._owed += seconds * requests_per_second * self._chance.uniform(0.6, 1.4)
        while self._owed >= 1:
            self._owed -= 1
            self._waiting.append(self._time)

    def step(self, seconds: float) -> None:
        """Work for so long on what is held; whoever is done makes room for who waits."""
        while self._waiting and len(self._running) < SEQUENCES:
            self._begin(self._waiting.popleft())
        made = seconds * TOKENS_PER_SECOND_AND_SEQUENCE
        for number, (arrived, left) in list(self._running.items()):
            self._running[number] = (arrived, left - made)
            self._generated.inc(min(made, left))
            self._between.observe(1 / TOKENS_PER_SECOND_AND_SEQUENCE)
            if left <= made:
                del self._running[number]
                self._done.inc()
                self._whole.observe(self._time - arrived)
        if self._running:
            self._steps.observe(len(self._running))
        if self._waiting and len(self._running) == SEQUENCES:
            self._preempted.inc(self._chance.choice((0, 0, 1)))

    def show(self) -> None:
        """Set the gauges to what is held now."""
        self._show_running.set(len(self._running))
        self._show_waiting.set(len(self._waiting))
        self._show_cache.set(min(1.0, len(self._running) * (PROMPT_TOKENS + TOKENS_PER_REQUEST) / KV_TOKENS * 1.7))

    def page(self) -> bytes:
        """The text of /metrics."""
        return generate_latest(self.registry)

    def _begin(self, arrived: float) -> None:
        self._next += 1
        self._running[self._next] = (arrived, TOKENS_PER_REQUEST * self._chance.uniform(0.5, 1.5))
        self._prompt.inc(PROMPT_TOKENS)
        self._queued.observe(self._time - arrived)
        self._first.observe(self._time - arrived + 0.05)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, ("engine", "model_name"), registry=self.registry).labels("0", MODEL)

    def _counter(self, name: str, text: str, **extra: str) -> Counter:
        counter = Counter(f"vllm:{name}", text, ("engine", "model_name", *extra), registry=self.registry)
        return counter.labels("0", MODEL, *extra.values())

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"vllm:{name}", text, ("engine", "model_name"), registry=self.registry, buckets=buckets)
        return histogram.labels("0", MODEL)
