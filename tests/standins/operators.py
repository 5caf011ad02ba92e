"""Holds objects of the Prometheus Operator and of KEDA to those projects' types: TypeScript, generated from their code.

The validators of the same packages know required fields and patterns (durations) and overlook unknown keys; the types
know every key. Both come from npm, through scripts/kubernetes-tools.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from standins.shipped import ROOT

PACKAGES = {
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
    "keda.sh": "@kubernetes-models/keda",
}
COMPILER = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")


@cache
def tools() -> Path:
    """The folder with kubectl and the node modules; made once outside the checkout."""
    done = subprocess.run(
        [ROOT / "scripts" / "kubernetes-tools"], capture_output=True, text=True, check=True, timeout=300
    )
    return Path(done.stdout.split()[-1])


def known(document: dict[str, Any]) -> bool:
    """Whether its kind is one of theirs."""
    return str(document["apiVersion"]).partition("/")[0] in PACKAGES


def complaints(documents: list[dict[str, Any]], scratch: Path) -> list[str]:
    """What the types and the validators have to say of the objects; nothing is good."""
    (scratch / "node_modules").unlink(missing_ok=True)
    (scratch / "node_modules").symlink_to(tools() / "node_modules")
    (scratch / "package.json").write_text('{"type": "module"}')
    (scratch / "objects.ts").write_text("\n".join(_typed(number, each) for number, each in enumerate(documents)))
    (scratch / "validate.js").write_text("\n".join(_validated(number, each) for number, each in enumerate(documents)))
    return [
        *_lines(scratch, "node_modules/typescript/bin/tsc", *COMPILER, "objects.ts"),
        *_lines(scratch, "validate.js"),
    ]


def _lines(scratch: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["node", *arguments], cwd=scratch, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == "", done.stderr
    return done.stdout.splitlines()


def _module(document: dict[str, Any]) -> str:
    group = document["apiVersion"].partition("/")[0]
    return f"{PACKAGES[group]}/{document['apiVersion']}/{document['kind']}"


def _typed(number: int, document: dict[str, Any]) -> str:
    kind = f"I{document['kind']}"
    name = f"{kind}{number}"
    return (
        f'import type {{ {kind} as {name} }} from "{_module(document)}";\n'
        f"export const object{number}: {name} = {json.dumps(document)};"
    )


def _validated(number: int, document: dict[str, Any]) -> str:
    kind = document["kind"]
    return (
        f'import {{ {kind} as Kind{number} }} from "{_module(document)}";\n'
        f"try {{ new Kind{number}({json.dumps(document)}).validate() }} "
        f'catch (error) {{ console.log("{document["metadata"]["name"]}: " + error.message) }}'
    )
