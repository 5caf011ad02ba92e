"""Expressions that several boards use."""

from __future__ import annotations

from vigil_boards import look, scope

ENGINE = "server, model_name, engine"
ENGINE_NAME = "{{server}} {{engine}}"
GPU = "instance, gpu"
GPU_NAME = "GPU {{gpu}} {{instance}}"
"""The GPU first, so that a long name of the host may be cut off."""

STATE_CODE = (
    f"max by ({ENGINE}) ("
    + " or ".join(f'llm_engine_state{{state="{state}"}} * {code}' for code, (state, _) in enumerate(look.STATES, 1))
    + ")"
)
"""The state as the number that `look.STATE_WORDS` turns back into a word."""

WHO = '"who", " ", "server", "engine"'
ENGINE_STATES = f"label_join({STATE_CODE}, {WHO})"
"""While a server starts, its engines are not known yet: a legend would write the word engine for them."""

SERVING = 'llm_engine_state{state=~"healthy|idle"}'
BROKEN = 'llm_engine_state{state=~"stalled|spinning|dead|unreachable"}'

FINISHED = scope.rate("llm_requests_finished_total")
FAILED = 'rate(llm_http_requests_total{code="5xx"}[$__rate_interval])'
REQUESTS = 'rate(llm_http_requests_total{handler!~"/metrics|/health|/ping|/version"}[$__rate_interval])'
ERROR_SHARE = scope.ratio(FAILED, REQUESTS)

PREFIX_HITS = "rate(llm_prefix_cache_hits_total[$__rate_interval])"
PREFIX_LOOKUPS = "rate(llm_prefix_cache_queries_total[$__rate_interval])"

TO_SERVER = "${__url_time_range}&${prometheus_datasource:queryparam}&var-server=${__data.fields.Server}"
TO_ENGINE = f"{TO_SERVER}&var-model_name=${{__data.fields.Model}}"
