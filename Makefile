# Two commands: `make run` starts the reference ingestor, `make test` passes every test of every language.
# Both install what is missing (into .venv, e2e/rum/node_modules and, for what is Debian's, as root by apt).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
export PREFIX DESTDIR
T ?= 60
BIN := .venv/bin
# But for what is generated, or goes into what is.
C_SOURCES := $(shell git ls-files '*.c' '*.cpp' '*.hpp' 'go/shim.h' 'ffi/tests/c/*.h' 'examples/c-server/src/*.h')
WHEEL_SOURCES := $(shell find core/src cli/src python/src python/python -type f -not -name '*.pyc') \
	Cargo.toml Cargo.lock core/Cargo.toml cli/Cargo.toml python/Cargo.toml python/pyproject.toml

.PHONY: help
help: ## Lists the commands.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: run
run: .venv/.wheel ## Starts the reference ingestor on 127.0.0.1:8200 and prints what to try.
	@scripts/run.sh

.PHONY: demo
demo: .venv/.wheel e2e/rum/node_modules/.installed browser ## Lets real agents meet the ingestor; ends with a table.
	@$(BIN)/python -m e2e.demo

.PHONY: test
test: lint site test-rust test-c test-go test-loom test-instructions test-python test-dist test-e2e ## Passes every test of every language.

.PHONY: lint
lint: setup .venv/.wheel ## Formatters and linters, all of them strict.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd fuzz && cargo fmt --check && cargo clippy --locked -- -D warnings
	clang-format --dry-run --Werror $(C_SOURCES)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
	RUSTDOCFLAGS='-D warnings' cargo doc --package tollbar --no-default-features --no-deps --locked --quiet
	cd python && ../$(BIN)/ruff check . && ../$(BIN)/ruff format --check . && ../$(BIN)/mypy
	cd python && ../$(BIN)/python -m mypy.stubtest tollbar._tollbar
	$(PYTHON) scripts/constant_time_report.py --check
	$(PYTHON) scripts/benchmarks_page.py --check
	$(BIN)/ruff check e2e scripts && $(BIN)/ruff format --check e2e scripts && $(BIN)/mypy --strict e2e scripts

.PHONY: test-rust
test-rust: setup ## Unit, property and conformance tests and the examples of the documentation.
	cargo test --workspace --locked

.PHONY: abi
abi: setup ## Writes ffi/abi anew, after a change of the ABI that is meant.
	ffi/tests/run.sh --update

.PHONY: test-c
test-c: setup ## The C ABI, installed: C and C++ tests, valgrind, sanitizers, consumers, the ABI.
	ffi/tests/run.sh

.PHONY: test-loom
test-loom: setup ## The models of the counter table, with bounded preemptions.
	core/tests/loom/run.sh bounded

.PHONY: loom
loom: setup ## The same models, in full.
	core/tests/loom/run.sh full

.PHONY: loom-mutants
loom-mutants: setup ## Breaks the table on purpose; fails unless the models notice.
	core/tests/loom/run.sh mutants

.PHONY: test-instructions
test-instructions: setup ## The instructions of a decision, against benches/instructions.json.
	$(PYTHON) scripts/instructions.py

.PHONY: fuzz
fuzz: setup ## Fuzzes each target for T seconds (make fuzz T=60).
	fuzz/run.sh $(T)

.PHONY: coverage
coverage: setup ## Lines of core that its tests and the fuzz corpora run; fails under 95 %. Builds all of it anew: minutes.
	$(PYTHON) scripts/coverage.py

.PHONY: mutants
mutants: setup ## Breaks ratelimit, credential and client_ip in every small way; the tests must notice. An hour (SHARD=0/8, FILES=gcra.rs: less).
	@cargo mutants --version 2>/dev/null | grep -qF 27.1.0 || cargo install cargo-mutants --version 27.1.0 --locked
	$(PYTHON) scripts/mutants.py $(if $(SHARD),--shard $(SHARD)) $(FILES)

.PHONY: test-python
test-python: .venv/.wheel ## The wheel, the ingestor and the examples of the READMEs.
	cd python && ../$(BIN)/python -m pytest

.PHONY: test-go
test-go: setup ## The Go module and its server: gofmt, vet, the race detector, cgo's checks, the static build.
	scripts/test_go.sh

.PHONY: fuzz-go
fuzz-go: setup ## Fuzzes the Go package against Go's own parsers, each target for T seconds.
	scripts/fuzz_go.sh $(T)

GO_SERVER_SOURCES := $(shell find core/src ffi/src -name '*.rs') $(shell find go examples/go-server -name '*.go' -o -name 'go.*' -o -name 'shim.*') include/tollbar.h
target/go/go-server: $(GO_SERVER_SOURCES) | setup
	. scripts/go_env.sh && cd examples/go-server && go build -tags tollbar_static -o ../../$@ .

.PHONY: test-dist
test-dist: .venv/.wheel ## What is published of the Python package: the wheel's tag, the source distribution.
	cd python && ../$(BIN)/python -m pytest dist_tests

.PHONY: soak
soak: .venv/.wheel ## Serves 10 million requests in process; fails if that leaves memory behind.
	$(BIN)/python python/tests/soak.py

.PHONY: test-e2e
test-e2e: .venv/.wheel e2e/rum/node_modules/.installed browser c-server target/go/go-server ## Real agents against the ingestor, the C and the Go server.
	$(BIN)/python -m pytest e2e

# Linked as its users link it, from an installation (in target/stage); twice, the second time with sanitizers, which the tests run.
.PHONY: c-server
c-server: setup ## Builds the C server, examples/c-server, into target/c-server.
	PREFIX=$(CURDIR)/target/stage scripts/install.sh
	$(C_SERVER) BUILD=$(CURDIR)/target/c-server
	$(C_SERVER) BUILD=$(CURDIR)/target/c-server/sanitized SANITIZE=address,undefined
C_SERVER := PKG_CONFIG_PATH=$(CURDIR)/target/stage/lib/pkgconfig $(MAKE) --no-print-directory -C examples/c-server \
	LDFLAGS=-Wl,-rpath,$(CURDIR)/target/stage/lib

.PHONY: bench
bench: .venv/.wheel wrk ## Benches of all languages against peers, quick: target/bench/report.json and target/bench/page.
	scripts/bench.sh quick

.PHONY: bench-full
bench-full: .venv/.wheel wrk ## The same with all sizes, and long; writes docs/benchmarks.md. For a machine that does nothing else.
	scripts/bench.sh full
	$(PYTHON) scripts/benchmarks_page.py --take

.PHONY: benchmarks-page
benchmarks-page: setup ## Writes docs/benchmarks.md and its plots anew, of docs/benchmarks/report.json.
	$(PYTHON) scripts/benchmarks_page.py

.PHONY: constant-time
constant-time: setup ## Measures whether time tells anything about tokens; writes docs/constant-time.md.
	cargo bench --package tollbar-benches --bench constant_time --locked
	$(PYTHON) scripts/constant_time_report.py

.PHONY: header
header: ## Writes include/tollbar.h anew, from ffi/src.
	TOLLBAR_WRITE_HEADER=1 cargo test --quiet --package tollbar-ffi --locked --test header

.PHONY: install
install: ## Installs headers and libraries for C and C++ (PREFIX=/usr/local DESTDIR=).
	scripts/install.sh

.PHONY: simulate
simulate: setup ## Simulates hostile traffic; writes docs/simulation.md and its plots.
	cargo run --release --locked --package tollbar-benches --bin simulate

.PHONY: site
site: .venv/.site-requirements ## Builds the documentation's site into target/site; fails at a broken link.
	NO_MKDOCS_2_WARNING=1 .venv/site/bin/mkdocs build --quiet

.PHONY: clean
clean: ## Removes what was built and installed here.
	rm -rf target .venv e2e/rum/node_modules

# Compilers and interpreters: installed where that can be done, else named.
.PHONY: setup
setup:
	@scripts/setup.sh

.PHONY: wrk
wrk:
	@scripts/setup.sh wrk

.PHONY: browser
browser:
	@e2e/install-browser.sh || true

.venv/.requirements: python/requirements-dev.txt e2e/requirements.txt | setup
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r python/requirements-dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r e2e/requirements.txt
	@touch $@

.venv/.site-requirements: docs/requirements.txt .venv/.requirements
	$(PYTHON) -m venv .venv/site
	.venv/site/bin/python -m pip install --quiet --require-hashes -r docs/requirements.txt
	@touch $@

.venv/.wheel: .venv/.requirements $(WHEEL_SOURCES)
	@rm -f target/wheels/tollbar-*.whl
	$(BIN)/maturin build --release --locked --quiet --manifest-path python/Cargo.toml --interpreter $(BIN)/python --out target/wheels
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps --no-index target/wheels/tollbar-*.whl
	@touch $@

e2e/rum/node_modules/.installed: e2e/rum/package-lock.json | setup
	cd e2e/rum && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
