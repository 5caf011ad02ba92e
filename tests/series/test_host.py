"""The table of the host."""

from __future__ import annotations

from vllm_vigil.series.catalogue import SPECS, markdown
from vllm_vigil.series.host import HOST_SPECS
from vllm_vigil.sources.lineage import API_SERVER, COORDINATOR, ENGINE_CORE, FOREIGN, HIDDEN, LAUNCHER, OTHER, WORKER


def test_every_row_is_in_the_catalogue_and_on_the_page() -> None:
    """So that it is exported and documented."""
    page = markdown()
    assert [spec for spec in HOST_SPECS if SPECS.get(spec.name) != spec or f"| `{spec.name}` |" not in page] == []


def test_the_page_names_every_role() -> None:
    """People write queries by them."""
    roles = (API_SERVER, COORDINATOR, ENGINE_CORE, FOREIGN, HIDDEN, LAUNCHER, OTHER, WORKER)
    assert [role for role in roles if f"`{role}`" not in markdown()] == []
