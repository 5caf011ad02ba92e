"""The whole play without clock and ports: two servers, the host's GPUs, and scenes that they are taken through.

    stage = Stage(directory)
    stage.enter(scene, now)                 epoch seconds
    stage.live(now, seconds, scene)         the seconds that end now have passed
    stage.servers["chat"].page()            what /metrics would show
    stage.machine.text()                    what the GPUs would answer

Logs are written below the directory, one per server.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from vllm_vigil.demo.engine import Model
from vllm_vigil.demo.gpus import Gpu, Machine
from vllm_vigil.demo.log import Log
from vllm_vigil.demo.script import Act, Scene
from vllm_vigil.demo.vllm import Vllm

CHAT = Model("llama-3.3-70b", sequences=40, kv_tokens=72_000, pace_seconds=0.011, prefill=12_000.0)
CODE = Model("qwen3-coder-30b", sequences=48, kv_tokens=160_000, pace_seconds=0.008, prefill=18_000.0)
LONGEST_STEP_SECONDS = 3.0
USUAL = Act()


class Stage:
    """Everything that is played. The same seed gives the same play."""

    def __init__(self, directory: Path, seed: int = 7, *, tells_each: bool = False) -> None:
        chance = random.Random(seed)
        self.machine = Machine([Gpu(index) for index in range(4)])
        one, two, three, four = self.machine.gpus
        self.servers = {
            name: Vllm(
                name, model, gpus, Log(directory / f"{name}.log", model.name, pid), chance, tells_each=tells_each
            )
            for name, model, gpus, pid in (
                ("chat", CHAT, ((one,), (two,)), 4100),
                ("code", CODE, ((three, four),), 7100),
            )
        }

    def enter(self, scene: Scene, now: float) -> None:
        """A scene begins."""
        self.machine.events += scene.xids
        for gpu in self.machine.gpus:
            gpu.hot, gpu.lost = gpu.index in scene.hot, gpu.index in scene.lost
            gpu.ecc = scene.ecc.get(gpu.index, gpu.ecc)
        for name, server in self.servers.items():
            server.enter(scene.acts.get(name, USUAL), now)

    def live(self, now: float, seconds: float, scene: Scene) -> None:
        """Let the seconds that end now pass, in steps that are short enough for a batch."""
        steps = max(1, math.ceil(seconds / LONGEST_STEP_SECONDS))
        for step in range(steps):
            at = now - seconds * (steps - 1 - step) / steps
            for name, server in self.servers.items():
                server.live(at, seconds / steps, scene.acts.get(name, USUAL))
            self.machine.live(seconds / steps)
