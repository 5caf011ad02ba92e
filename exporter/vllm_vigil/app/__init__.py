"""The only package that knows every part: it wires them, runs them under one TaskGroup, and stops in reverse.

metrics_half    sources -> snapshot -> judgement, every second
alert_half      lines -> events -> incidents, step by step
life_told       an event -> what it tells the verdict of the server's life
ledger          changes of incidents -> one transaction with positions, memory and outbox
rhythm          when the logs are read next
numbers         snapshot -> the few numbers that a message holds
surroundings    snapshot and settings -> what stood around memory that ran out
wanted          settings -> the parts that are there only where they are asked for
round           one configuration at work: both halves and the senders, from first reading to last commit
life            the process: listener, signals, one round after the other
facts           what the HTTP side is told
"""
