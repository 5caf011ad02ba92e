"""Ask the world: a vLLM server over HTTP, the GPUs through NVML. Each answers with a Reading, also when it fails."""
