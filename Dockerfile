# Countersign's image: one binary, every role (api, worker, scheduler, migrate, probe).
# Build: docker build -t countersign .        (needs BuildKit, the default since Docker 23)

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Checked queries come from the committed .sqlx folder: no database while building.
ENV SQLX_OFFLINE=true
# The target folder is a cache mount, which is gone after the step: copy the binary out of it.
RUN --mount=type=cache,id=countersign-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=countersign-target,target=/src/target,sharing=locked \
    cargo build --release --locked --package countersign --bin countersign \
    && install -D --strip target/release/countersign /out/countersign

FROM debian:bookworm-slim AS run
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 countersign \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin countersign
COPY --from=build /out/countersign /usr/local/bin/countersign
# Numeric, so that Kubernetes' runAsNonRoot can check it.
USER 10001:10001
WORKDIR /
EXPOSE 8080 9100
# Ctrl-C's signal and the orchestrator's both drain; this is the one the orchestrator sends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/countersign"]
CMD ["api"]
