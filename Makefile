# Two targets do all the set-up on a fresh Debian or Ubuntu machine: `make run` and `make test`.
CARGO ?= cargo
SYNCOPE = target/release/syncope

.PHONY: run test examples lint bench clean

# The main job: the quick suite, in containers.
run:
	@scripts/setup.sh run
	$(CARGO) build --release --bins
	$(SYNCOPE) run scenarios --tag quick --backend docker

test:
	@scripts/setup.sh test
	$(CARGO) nextest run
	$(CARGO) check --no-default-features

# BullMQ and Celery, each under its scenarios, in containers and as local processes.
examples:
	@scripts/setup.sh examples
	$(CARGO) build --release --bins
	$(SYNCOPE) run examples --backend docker --host-retries 4
	$(SYNCOPE) run examples --backend process --host-retries 4

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

# Also wants haproxy, to compare with it, if it is there.
bench:
	@scripts/setup.sh run
	$(CARGO) bench --bench proxy
	$(CARGO) bench --bench sim
	$(CARGO) bench --bench tune

# What runs left, then what builds left.
clean:
	if [ -x $(SYNCOPE) ]; then $(SYNCOPE) clean; fi
	$(CARGO) clean
