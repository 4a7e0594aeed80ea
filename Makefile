# Two commands: `make run` and `make test`. Both set up what they need.

CARGO ?= cargo

.PHONY: run test test-long check setup bench

run: setup
	@$(CARGO) build --quiet
	@$${CARGO_TARGET_DIR:-target}/debug/thalweg run examples/weather.sql

test: setup
	$(CARGO) test --workspace
	scripts/python pytest python/tests

test-long: setup
	THALWEG_TEST_SCALE=50 $(CARGO) test --workspace

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# One core for the pairs of one core; the others need both.
bench: setup
	$(CARGO) build --release -p thalweg-cli -p thalweg-benches
	taskset -c 0 $${CARGO_TARGET_DIR:-target}/release/thalweg-benches tumble tumble-json updating-uniform updating-nexmark \
		hop-10 hop-60 nexmark-source nexmark-q5 nexmark-q7 nexmark-q8
	$${CARGO_TARGET_DIR:-target}/release/thalweg-benches two-subtasks word-count latency start \
		checkpoint-cost barrier-stall checkpoint-bytes recovery restore rescale

setup:
	@scripts/setup
