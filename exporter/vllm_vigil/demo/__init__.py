"""A stand-in vLLM for show and for tests: its page and its log lines follow a real 0.32, its day is a script.

script      what happens when
engine      requests, tokens and time -> the numbers of vLLM's /metrics
log         what vLLM writes when it starts, serves, crashes
server      the HTTP side: /metrics, /health, /version
"""
