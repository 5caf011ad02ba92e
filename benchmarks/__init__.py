"""What the sidecar costs, measured on the real program, beside a peer in the same run. Quote the ratios."""
