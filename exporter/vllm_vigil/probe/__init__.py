"""Ask a vLLM server for a token or two -> whether, how soon and how well it answers."""
