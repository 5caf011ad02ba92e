"""vllm-vigil: the sidecar that watches a vLLM server. Re-exports nothing; start with `app/`."""

__version__ = "0.1.0"
