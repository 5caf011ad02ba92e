"""vllm-vigil: the sidecar that watches a vLLM server. Re-exports nothing; start with `app.py`."""

__version__ = "0.1.0"
