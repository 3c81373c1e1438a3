# The commands of the project. Each is one line that can be typed by hand; `make help` lists them.
.DEFAULT_GOAL := help
SEEDS ?= 1000

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

test: tools ## every test, with what the tests need installed first
	cargo test --locked --no-fail-fast
	@if [ -n "$$WHARF_CORPUS" ]; then \
	  cargo test --locked --test content_files --test environment_files -- --include-ignored --nocapture corpus; \
	else echo "not run: real manifests and environment files, WHARF_CORPUS names no folder of them"; fi
	@if [ "$$(id -u)" = 0 ]; then cargo test --locked --test source -- --ignored another_user; \
	else echo "not run: a_repository_of_another_user_is_refused, it needs root"; fi
	cargo build --locked --bin wharf-session --no-default-features --target-dir target/slim
	scripts/check-schemas

lint: ## formatting and clippy
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

deny: ## licences, bans and sources of every dependency (builds cargo-deny the first time)
	scripts/cargo-deny check bans licenses sources

tools: ## install what the tests need (Debian packages; needs root only when something is missing)
	scripts/install-test-tools

simulate: ## the simulation with SEEDS seeds: make simulate SEEDS=5000
	WHARF_SIMULATION_SEEDS=$(SEEDS) cargo test --locked --release --test simulation -- --nocapture

bench: ## speed and memory, release build
	cargo bench --locked --bench corridor

schemas: ## write schemas/ from the Rust types
	cargo run --quiet --locked -- schema --all schemas

pictures: ## draw the README's pictures from real output
	scripts/draw-pictures

dist: ## both programs, optimised and stripped, in target/dist
	cargo build --locked --release --bin wharf
	cargo build --locked --release --bin wharf-session --no-default-features --target-dir target/slim
	mkdir -p target/dist
	cp target/release/wharf target/slim/release/wharf-session target/dist/

.PHONY: help test lint deny tools simulate bench schemas pictures dist
