"""The words and options of the commands that need no configuration of the sidecar: catalogue, export, report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no public name


def sentence(text: str) -> str:
    """The one line of a command in the list of all, as it stands above its own options."""
    return text[0].upper() + text[1:]


def add_catalogue(commands: Commands) -> None:
    """`vigil catalogue`."""

    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.series.catalogue import markdown
        from vllm_vigil.series.versions import matrix

        print(matrix() if options.versions else markdown(), end="")
        return 0

    text = "print every series that is exported (Markdown)"
    command = commands.add_parser("catalogue", help=text, description=sentence(text))
    command.add_argument(
        "--versions", action="store_true", help="instead: which series each release of vLLM can feed, 0.4 to 0.33"
    )
    command.set_defaults(command=call)


def add_export(commands: Commands) -> None:
    """`vigil export`."""

    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.export import export

        return export(options.what, options.slo, options.output)

    text = (
        "write the rules, dashboards or Alertmanager files that come with it; with --slo rules of your own objectives"
    )
    command = commands.add_parser("export", help=text, description=sentence(text))
    kinds = ["rules", "dashboards", "alertmanager"]
    command.add_argument("what", choices=kinds, metavar=f"{{{','.join(kinds)}}}")
    command.add_argument("--slo", type=Path, metavar="FILE", help="objectives (docs/slo.md); alone: print their rules")
    command.add_argument("--output", type=Path, metavar="DIR", help="the folder to write into")
    command.set_defaults(command=call)


def add_report(commands: Commands) -> None:
    """`vigil report`."""

    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.report import Asked, report

        return report(
            Asked(options.prometheus, options.month, options.slo, options.bearer_file, options.ca_file),
            (options.gpu_hour_price, options.energy_price, options.currency),
            options.output,
        )

    text = "write the report on a month: promises, latency, use, cost, incidents; from a Prometheus that has our series"
    command = commands.add_parser("report", help=text, description=sentence(text))
    command.add_argument("--prometheus", required=True, metavar="URL", help="its address, http://127.0.0.1:9090")
    command.add_argument("--month", metavar="YYYY-MM", help="which month, in UTC (the last that is over)")
    command.add_argument("--slo", type=Path, metavar="FILE", help="what was promised (docs/slo.md), else the defaults")
    command.add_argument("--output", type=Path, metavar="FILE", help="a .html or .md file; without: Markdown, printed")
    command.add_argument("--gpu-hour-price", type=float, metavar="PRICE", help="what a GPU costs an hour")
    command.add_argument("--energy-price", type=float, metavar="PRICE", help="what a kilowatt hour costs")
    command.add_argument("--currency", default="USD", metavar="NAME", help="of the prices (USD)")
    command.add_argument("--bearer-file", type=Path, metavar="FILE", help="a token for Prometheus")
    command.add_argument("--ca-file", type=Path, metavar="FILE", help="the certificate that signed Prometheus' own")
    command.set_defaults(command=call)
