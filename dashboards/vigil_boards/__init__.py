"""The six Grafana boards as code: one module per board, one row per panel. `scripts/dashboards` writes the JSON.

A development tool: nothing of this is installed with vllm-vigil, which ships the JSON.
"""
