# What people do daily. `make` alone lists it.

SHELL := /bin/bash
CARGO_TARGET_DIR ?= target
COUNTERSIGN := $(CARGO_TARGET_DIR)/debug/countersign

.DEFAULT_GOAL := help
.PHONY: help up dev test check bench chaos openapi clean-data build

help: ## List these recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build:
	@cargo build --workspace --bins

up: build ## Start everything on this machine and show a job running (Ctrl-C stops it)
	@exec $(COUNTERSIGN) dev

dev: up ## The same

test: ## Everything that can be checked on this machine; installs what it needs
	@scripts/test.sh

check: ## Quick: formatting, lints, dependency policy
	@scripts/check.sh

bench: ## Measure the queue on private servers (release build; some minutes)
	@cargo build --release --workspace --bins
	@exec $(CARGO_TARGET_DIR)/release/countersign bench queue

chaos: ## Kill workers, Redis and PostgreSQL under load, the long form (some minutes)
	@COUNTERSIGN_CHAOS=long cargo test --workspace --test chaos -- --nocapture --test-threads=1

openapi: ## Write docs/openapi.json anew from the routes
	@UPDATE=1 cargo test --workspace --test openapi

clean-data: ## Remove what `make up` keeps: the demo's data, people, keys, mail, token and logs
	@if [ -e .countersign/dev.lock ] && ! flock --nonblock .countersign/dev.lock true 2>/dev/null; then \
		echo "\`make up\` runs here; stop it first (Ctrl-C in its terminal)"; exit 1; fi
	@rm -rf .countersign/data .countersign/log .countersign/mail .countersign/keys .countersign/demo-token \
		.countersign/demo-people .countersign/demo-receiver .countersign/dev.lock
	@echo "removed"
