"""The only package that knows every part: it wires them, runs them under one TaskGroup, and stops in reverse.

metrics_half    sources -> snapshot -> judgement, every second
alert_half      lines -> events -> incidents, step by step
ledger          changes of incidents -> one transaction with positions, memory and outbox
round           one configuration at work: both halves and the senders, from first reading to last commit
life            the process: listener, signals, one round after the other
facts           what the HTTP side is told
"""
