"""One file per command of `vigil`, or per few that share their subject; `cli.py` gives them their arguments."""
