# The sidecar in a container: `docker build -t vllm-vigil .` (or podman, or buildah). About docs: docs/deployment.md.
# BASE must bring Python 3.11 or newer with venv to the first stage, and the same Python to the last.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
# Behind a wall: --build-arg PIP_INDEX_URL=https://mirror/simple, or PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels with a mount.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY alert_rules alert_rules
COPY dashboards dashboards
COPY exporter exporter
# pip leaves the environment that it made: what runs in production installs nothing.
RUN python3 -m venv /opt/vllm-vigil \
    && /opt/vllm-vigil/bin/pip install . \
    && /opt/vllm-vigil/bin/python -m compileall -q /opt/vllm-vigil/lib \
    && /opt/vllm-vigil/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="vllm-vigil" \
      org.opencontainers.image.description="The sidecar that watches a vLLM server" \
      org.opencontainers.image.source="https://github.com/vllm-vigil/vllm-vigil" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/vllm-vigil /opt/vllm-vigil
# The state (log positions, incidents, the outbox) belongs in a volume; NVML needs the driver's `utility` part alone.
ENV PATH=/opt/vllm-vigil/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STATE_DIRECTORY=/var/lib/vllm-vigil \
    NVIDIA_DRIVER_CAPABILITIES=utility
RUN mkdir -m 0700 /var/lib/vllm-vigil && chown 65532:65532 /var/lib/vllm-vigil
VOLUME /var/lib/vllm-vigil
USER 65532:65532
EXPOSE 9877
# Alive, not ready: a vLLM that loads a model for ten minutes is no reason to restart the one who watches it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9877/-/healthy', timeout=4)"]
ENTRYPOINT ["vigil"]
CMD ["run", "--listen", "0.0.0.0:9877"]
