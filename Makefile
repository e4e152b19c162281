# Two targets do all the set-up on a fresh Debian or Ubuntu machine: `make run` and `make test`.
CARGO ?= cargo
SYNCOPE = target/release/syncope

.PHONY: run test lint bench clean setup build

# The main job: the quick suite, in containers.
run: setup build
	$(SYNCOPE) run scenarios --tag ci --backend docker

test: setup
	$(CARGO) nextest run
	$(CARGO) check --no-default-features

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

bench: setup
	$(CARGO) bench --bench proxy

build:
	$(CARGO) build --release --bins

setup:
	@scripts/setup.sh

clean:
	$(CARGO) clean
