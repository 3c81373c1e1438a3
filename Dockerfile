# syntax=docker/dockerfile:1
# Wharf in a container: both programs, Git without the git program, ssh for ssh remotes, and nobody's root.
#
#   docker build -t wharf .
#   docker run --init -v wharf-state:/var/lib/wharf/state -v wharf-data:/var/lib/wharf/data wharf \
#     run --repo https://git.example.org/harbour/config.git
#
# There are no interpreters in here. To run content inside this container, build from it and put them under /opt/R, /opt/python
# and /opt/quarto, where the local executor looks. `--init` gives the container a first process that collects orphans.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The cache mounts keep dependencies between builds; what they hold is not part of any layer, so the programs are copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin wharf \
 && install -D -m 0755 target/release/wharf /out/wharf
# The session is copied into content images of every kind, so it brings its C library along.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    host="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --no-default-features --bin wharf-session --target "$host" \
 && install -D -m 0755 "target/$host/release/wharf-session" /out/wharf-session

FROM debian:bookworm-slim
# The user comes first: a package's own system user could take the number.
RUN groupadd --gid 999 wharf \
 && useradd --uid 999 --gid 999 --create-home --shell /usr/sbin/nologin wharf \
 && install -d -o 999 -g 999 -m 0700 /var/lib/wharf /var/lib/wharf/state \
 && install -d -o 999 -g 999 -m 0755 /var/lib/wharf/data \
 && apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates openssh-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/wharf /out/wharf-session /usr/local/bin/
COPY LICENSE-MIT LICENSE-APACHE NOTICE /usr/share/doc/wharf/
ENV WHARF_STATE_DIR=/var/lib/wharf/state \
    WHARF_DATA_DIR=/var/lib/wharf/data
VOLUME ["/var/lib/wharf/state", "/var/lib/wharf/data"]
WORKDIR /var/lib/wharf
USER 999:999
# The dashboard listens on 127.0.0.1:8710 unless --listen says otherwise; publish that port only on purpose.
EXPOSE 8710
ENTRYPOINT ["wharf"]
CMD ["run"]
