"""Requests and time -> what one engine counts: a small model of continuous batching.

Requests wait, are admitted while there is room in batch and KV cache, prefill, and decode at a pace that falls as the
batch grows. When the cache is full the youngest is preempted: it waits again and computes its tokens anew. Time is an
argument and chance is handed in, so that the same play gives the same numbers.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.demo.numbers import Front, Numbers

HANDLERS = ("/v1/chat/completions", "/v1/completions")


@dataclass(frozen=True, slots=True)
class Model:
    """What a server serves, and how fast: `pace_seconds` is one step of a batch of one, `prefill` tokens a second."""

    name: str
    sequences: int
    kv_tokens: int
    context_tokens: int = 32_768
    pace_seconds: float = 0.018
    prefill: float = 9_000.0
    prompt_tokens: float = 900.0
    answer_tokens: float = 220.0


@dataclass(slots=True)
class Request:
    """One request: its size in tokens, when it came, was admitted and gave its first token, and what it has made."""

    arrived: float
    prompt: int
    answer: int
    cached: int
    admitted: float = 0.0
    first: float = 0.0
    seen: bool = False
    made: float = 0.0
    preempted: int = 0

    @property
    def held_tokens(self) -> float:
        """What it holds of the KV cache."""
        return self.prompt + self.made


class Engine:
    """One engine from its start; a restart is a new one, whose counters begin at 0."""

    def __init__(self, model: Model, front: Front, chance: random.Random, begun: float) -> None:
        self.model = model
        self.numbers = Numbers(model.context_tokens, begun)
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self._front = front
        self._chance = chance
        self._owed = chance.random()

    # --- from outside

    def ask(self, now: float, seconds: float, per_second: float, *, answers: float = 1.0, prompts: float = 1.0) -> None:
        """Let requests arrive during the seconds that end now; answers and prompts so many times as long as usual."""
        self._owed += seconds * per_second * self._chance.uniform(0.7, 1.3)
        while self._owed >= 1:
            self._owed -= 1
            self.waiting.append(self._request(now - self._chance.random() * seconds, answers, prompts))

    def step(self, now: float, seconds: float, slow: float = 1.0) -> None:
        """Work on what is held during the seconds that end now; `slow` is how many times slower than usual."""
        self._admit(now, seconds, slow)
        batch = len(self.running)
        pace = self.model.pace_seconds * (1 + batch / self.model.sequences) * slow
        for request in list(self.running):
            self._decode(request, now, seconds, pace)
        if batch:
            self._count_steps(batch, seconds / pace)
        self._make_room()
        self.show()

    def abort_all(self) -> None:
        """Every client hangs up: vLLM counts nothing, and shows the last step's gauges until the next step."""
        self.waiting.clear()
        self.running.clear()

    def sleep(self, *, asleep: bool) -> None:
        """Put it to sleep, level 1, or wake it. A sleeping engine holds nothing."""
        if asleep:
            self.abort_all()
            self.show()
        self.numbers.set("engine_sleep_state", float(not asleep), "awake")
        self.numbers.set("engine_sleep_state", float(asleep), "weights_offloaded")

    def show(self) -> None:
        """Set the gauges to what is held now."""
        numbers = self.numbers
        numbers.set("num_requests_running", float(len(self.running)))
        numbers.set("num_requests_waiting", float(len(self.waiting)))
        numbers.set("num_requests_waiting_by_reason", float(len(self.waiting)), "capacity")
        numbers.set("kv_cache_usage_perc", min(1.0, self.held_tokens / self.model.kv_tokens))

    @property
    def held_tokens(self) -> float:
        """What the running requests hold of the KV cache."""
        return sum(request.held_tokens for request in self.running)

    @property
    def load(self) -> float:
        """How full its batch is, 0 to 1."""
        return len(self.running) / self.model.sequences

    # --- one request's life

    def _request(self, arrived: float, answers: float, prompts: float) -> Request:
        model, chance = self.model, self._chance
        most = model.context_tokens // 3
        prompt = min(most, max(4, int(model.prompt_tokens * prompts * chance.lognormvariate(0.0, 0.7))))
        answer = min(most, max(2, int(model.answer_tokens * answers * chance.lognormvariate(0.0, 0.45))))
        hit = chance.random() < 0.6
        return Request(arrived, prompt, answer, cached=int(prompt * chance.uniform(0.3, 0.9)) if hit else 0)

    def _admit(self, now: float, seconds: float, slow: float) -> None:
        held = self.held_tokens
        while self.waiting and len(self.running) < self.model.sequences:
            request = self.waiting[0]
            if held + request.held_tokens > self.model.kv_tokens * 0.995 and self.running:
                return
            self.waiting.popleft()
            held += request.held_tokens
            queued = request.arrived < now - seconds
            request.admitted = now - self._chance.random() * seconds if queued else request.arrived + 0.004
            self._begin(request, slow)
            self.running.append(request)

    def _begin(self, request: Request, slow: float) -> None:
        """Its prefill; after a preemption what it had made is computed again."""
        numbers = self.numbers
        computed = request.prompt - request.cached + request.made
        crowd = 1 + 2 * self.load
        request.first = request.admitted + 0.02 + computed / self.model.prefill * slow * crowd
        numbers.observe("iteration_tokens_total", computed + len(self.running))
        if request.preempted:
            return
        numbers.add("prompt_tokens_total", request.prompt)
        numbers.add("prompt_tokens_cached_total", request.cached)
        numbers.add("prompt_tokens_by_source_total", request.prompt - request.cached, "local_compute")
        numbers.add("prompt_tokens_by_source_total", request.cached, "local_cache_hit")
        numbers.add("prompt_tokens_cached_by_source_total", request.cached, "device")
        numbers.add("prefix_cache_queries_total", request.prompt)
        numbers.add("prefix_cache_hits_total", request.cached)

    def _decode(self, request: Request, now: float, seconds: float, pace: float) -> None:
        """Let it make tokens from its first one on."""
        if request.first > now:
            return
        numbers = self.numbers
        if not request.seen:
            request.seen = True
            numbers.observe("time_to_first_token_seconds", request.first - request.arrived)
        begun = max(request.first, now - seconds)
        made = min((now - begun) / pace, request.answer - request.made)
        if made > 0:
            request.made += made
            numbers.add("generation_tokens_total", made)
            numbers.observe("inter_token_latency_seconds", pace * self._chance.uniform(0.8, 1.25), made)
        if request.made >= request.answer:
            self._finish(request, begun + made * pace)

    def _finish(self, request: Request, at: float) -> None:
        numbers, chance = self.numbers, self._chance
        self.running.remove(request)
        reason = "length" if chance.random() < 0.12 else "stop"
        numbers.add("request_success_total", 1.0, reason)
        numbers.observe("request_prompt_tokens", request.prompt)
        numbers.observe("request_prefill_kv_computed_tokens", request.prompt - request.cached)
        numbers.observe("request_generation_tokens", request.answer)
        numbers.observe("request_max_num_generation_tokens", request.answer)
        numbers.observe("request_params_n", 1)
        numbers.observe("request_params_max_tokens", 1024)
        numbers.observe("request_num_preemptions", request.preempted)
        whole = at - request.arrived
        for name, value in self._spans(request, at):
            numbers.observe(name, max(0.0, value))
        self._front.answered(HANDLERS[chance.random() < 0.2], "2xx", whole)

    @staticmethod
    def _spans(request: Request, at: float) -> Iterator[tuple[str, float]]:
        yield "e2e_request_latency_seconds", at - request.arrived
        yield "request_queue_time_seconds", request.admitted - request.arrived
        yield "request_inference_time_seconds", at - request.admitted
        yield "request_prefill_time_seconds", request.first - request.admitted
        yield "request_decode_time_seconds", at - request.first
        yield "request_time_per_output_token_seconds", (at - request.first) / max(1, request.answer - 1)

    # --- the batch

    def _count_steps(self, batch: int, steps: float) -> None:
        """Decoding steps: each makes a token for every running request."""
        self.numbers.observe("iteration_tokens_total", batch, max(1, round(steps)))

    def _make_room(self) -> None:
        while len(self.running) > 1 and self.held_tokens > self.model.kv_tokens:
            youngest = max(self.running, key=lambda request: request.admitted)
            self.running.remove(youngest)
            youngest.preempted += 1
            youngest.cached = 0
            self.waiting.appendleft(youngest)
            self.numbers.add("num_preemptions_total")
