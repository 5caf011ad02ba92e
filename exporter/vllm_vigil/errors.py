"""Our exceptions, which say what was attempted, on what, what is wrong and what to do.

    VigilError
    ├── ConfigError          the configuration cannot be used                 exit 2
    ├── UsageError           the command line cannot be used                  exit 2
    ├── StateLocked          another instance holds the state directory       exit 3
    ├── StateUnusable        the state directory or file cannot be used       exit 1
    ├── PrometheusUnusable   the Prometheus that a report is made from cannot answer   exit 1
    └── WorkerBusy           a call that has not come back yet holds the worker

Expected trouble of the world outside (a server down, a file gone, a page not delivered) is a value, not one of these.
"""

from __future__ import annotations


class VigilError(Exception):
    """Anything that we raise on purpose; its text is meant for the person who runs the sidecar."""

    exit_code = 1


class ConfigError(VigilError):
    """The configuration cannot be used; one line for each thing that is wrong with it."""

    exit_code = 2


class UsageError(VigilError):
    """The command line cannot be used."""

    exit_code = 2


class StateLocked(VigilError):
    """Another instance holds the state directory."""

    exit_code = 3


class StateUnusable(VigilError):
    """The state directory or its file cannot be read or written."""


class PrometheusUnusable(VigilError):
    """The Prometheus that a report is made from cannot be asked, or does not answer."""


class WorkerBusy(VigilError):
    """A call that has not come back yet holds the worker, so this one was not begun."""
