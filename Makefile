# make demo      the main job on real input, in namespaces of its own
# make test      everything that must hold
# make bench     latency and cost, beside the predecessors' figures and what of
#                others is installed (`scripts/setup bench` installs it)
# make fuzz      the parsers of what comes from outside; FUZZ_SECONDS for each
# make install   into PREFIX, and the home at HOME_DIR (both below DESTDIR)

PREFIX   ?= /usr/local
HOME_DIR ?= /var/ripost
DESTDIR  ?=

# Where rustup puts cargo, for shells that have not read its profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

programs    := ripost-manager ripost-agentd ripostctl
executables := $(basename $(notdir $(wildcard src/bin/ar/*.rs)))
target      := $(or $(CARGO_TARGET_DIR),target)
libexec     := $(PREFIX)/libexec/ripost
units       := $(wildcard etc/systemd/*.service)

.PHONY: build demo test fmt lint check-docs deny bench fuzz install setup

build: setup
	cargo build --locked --bins

setup:
	@scripts/setup

demo: build
	scripts/demo

# What takes seconds comes before what takes minutes.
test: fmt lint check-docs
	cargo test --locked
	@$(MAKE) --no-print-directory deny

fmt:
	@scripts/setup test
	cargo fmt --check

lint:
	cargo clippy --locked --all-targets -- -D warnings

check-docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib

# Runs where cargo-deny is installed.
deny:
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny check licenses bans sources; \
	else \
		echo "cargo-deny is not installed: licences and duplicates not checked"; \
	fi

bench: setup
	cargo bench --locked

fuzz:
	@scripts/setup fuzz
	scripts/fuzz

# `ripostctl init` takes the bundled executables from beside ripostctl, so all
# programs lie in one directory; only those for people are linked into sbin.
# A staged install (DESTDIR) has no home to make: the package does that when it
# is unpacked.
install: setup
	cargo build --locked --release --bins
	install -d $(DESTDIR)$(libexec) $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0755 $(addprefix $(target)/release/,$(programs) $(executables)) $(DESTDIR)$(libexec)
	for program in $(programs); do \
		ln -sf ../libexec/ripost/$$program $(DESTDIR)$(PREFIX)/sbin/$$program || exit; \
	done
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0644 $(wildcard man/*.8) $(DESTDIR)$(PREFIX)/share/man/man8
	for unit in $(units); do \
		sed -e 's|/usr/local|$(PREFIX)|g' -e 's|/var/ripost|$(HOME_DIR)|g' $$unit \
			> $(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$unit) || exit; \
	done
	if [ -d $(DESTDIR)$(HOME_DIR)/active-response/bin ]; then \
		$(DESTDIR)$(libexec)/ripostctl init --refresh $(DESTDIR)$(HOME_DIR); \
	elif [ -z "$(DESTDIR)" ]; then \
		$(libexec)/ripostctl init $(HOME_DIR); \
	fi
