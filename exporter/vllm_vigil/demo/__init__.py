"""Two stand-in vLLMs and four GPUs for show and for tests: pages and logs follow a real 0.32, their day is a script.

script      what happens when
engine      requests, tokens and time -> what one engine counts
numbers, families, page     counts -> the text of vLLM's /metrics
gpus        how busy the engines are -> what NVML would answer, as a machine file
log         what vLLM writes when it starts, serves, hangs, crashes
vllm, stage one server; all of them with their GPUs, moved on by seconds that are an argument
processes   their processes and connections, as a /proc tree
front, play the HTTP side; the play in real time
"""
