# SPDX-License-Identifier: GPL-2.0-only
# nsbpf: `make help` lists what there is to make. V=1 shows whole commands.

VERSION := 0.1.0
PREFIX ?= /usr/local
B := build

CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PYTHON := /usr/bin/python3

WARNINGS := -Wall -Wextra -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DNSBPF_VERSION='"$(VERSION)"' $(WARNINGS) -Iinclude -Iuser -MMD -MP
LIBS := -lbpf -lelf -lz -lmnl -ljansson -lncursesw -lm -lyaml
BPF_CFLAGS := -O2 -g -mcpu=v3 -target bpf $(WARNINGS) -Iinclude -Ivmlinux -MMD -MP

USER_SOURCES := $(wildcard user/*.c)
# What needs neither the skeleton nor a command: the unit tests link with it.
LIBRARY := addr error host_ports mounts netns nl nl_addr nl_filter nl_link nl_route nl_sockets port_spec resolv sha1 ula
MANUALS := $(wildcard docs/*.8)
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
BENCH_TOOLS := $(patsubst tests/bench/%.c,$(B)/bench/%,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(B)/bench/%.o,$(wildcard tests/bench/*.bpf.c))

ifeq ($(V),1)
say = @:
else
say = @printf '  %-8s %s\n'
MAKEFLAGS += --no-print-directory
.SILENT:
endif

.DELETE_ON_ERROR:
.PHONY: all asan unit-tests install uninstall deb clean help deps demo test test-kernels conformance bench bench-tools check-style

all: $(B)/nsbpf

$(B)/nsbpf.bpf.o: bpf/nsbpf.bpf.c
	$(say) BPF $<
	mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/nsbpf.skel.h: $(B)/nsbpf.bpf.o
	$(say) GEN-SKEL $@
	$(BPFTOOL) gen skeleton $< name nsbpf >$@

# The plain build, and one under the sanitizers: the same rules, other directories.
define build_rules
$(1)/obj/datapath.o $(1)/obj/datapath_open.o: $(B)/nsbpf.skel.h
$(1)/obj/%.o: user/%.c
	$$(say) CC $$<
	mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $(2) -I$(B) -c $$< -o $$@
$(1)/nsbpf: $(USER_SOURCES:user/%.c=$(1)/obj/%.o)
	$$(say) LINK $$@
	$$(CC) $(2) $$^ $$(LIBS) -o $$@
$(1)/unit/%: tests/unit/%.c $(LIBRARY:%=$(1)/obj/%.o)
	$$(say) CC $$<
	mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $(2) $$< $(LIBRARY:%=$(1)/obj/%.o) -lmnl -lcmocka -o $$@
-include $(wildcard $(1)/obj/*.d $(1)/unit/*.d)
endef
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
$(eval $(call build_rules,$(B),$(CFLAGS)))
$(eval $(call build_rules,$(B)/asan,$(SANITIZE)))
-include $(B)/nsbpf.bpf.d

asan: $(B)/asan/nsbpf

unit-tests: $(UNIT_TESTS:%=$(B)/asan/unit/%)

$(B)/bench/%: tests/bench/%.c
	$(say) CC $<
	mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CFLAGS) $< -o $@

$(B)/bench/%.bpf.o: tests/bench/%.bpf.c
	$(say) BPF $<
	mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

bench-tools: $(BENCH_TOOLS) $(BENCH_PROGRAMS)
-include $(BENCH_TOOLS:=.d) $(BENCH_PROGRAMS:.o=.d)

# What lies where below PREFIX, but for the program. Debian's packages have another directory for zsh.
ZSH_DIR ?= share/zsh/site-functions
COMPLETIONS := share/bash-completion/completions/nsbpf $(ZSH_DIR)/_nsbpf \
	share/fish/vendor_completions.d/nsbpf.fish

install: $(B)/nsbpf
	$(say) INSTALL $(DESTDIR)$(PREFIX)
	install -D -m 0755 $< $(DESTDIR)$(PREFIX)/sbin/nsbpf
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(MANUALS)
	install -D -m 0644 docs/completion/nsbpf.bash $(DESTDIR)$(PREFIX)/$(word 1,$(COMPLETIONS))
	install -D -m 0644 docs/completion/_nsbpf $(DESTDIR)$(PREFIX)/$(word 2,$(COMPLETIONS))
	install -D -m 0644 docs/completion/nsbpf.fish $(DESTDIR)$(PREFIX)/$(word 3,$(COMPLETIONS))

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,sbin/nsbpf $(MANUALS:docs/%=share/man/man8/%) $(COMPLETIONS))

deb: $(B)/nsbpf
	$(say) DEB $(B)/deb
	+docs/deb/build $(VERSION) $(B)

deps:
	tests/install-packages

# Each begins by installing what is missing, so make is started again for the build.
demo: deps
	$(MAKE) all
	tests/demo $(B)/nsbpf

# TESTS=word runs those whose name contains it.
test: deps
	$(MAKE) all asan unit-tests
	tests/run $(TESTS)

# No part of test: it takes a quarter of an hour. Fetches QEMU and Debian 12's kernel, if they are missing.
test-kernels: deps
	$(MAKE) all
	tests/kernels/run

# All rows of docs/nat-conformance.md, which it writes; test has those that are quick.
conformance: deps
	$(MAKE) all
	tests/conformance/run

# ROUNDS=n, or QUICK=1 to see soon that it works; ONLY=, PATHS=, MEASURES= and WHO= as in tests/bench/run; results are in $(B)/bench.
bench:
	tests/install-packages bench
	$(MAKE) all bench-tools
	tests/bench/run

check-style:
	clang-format --dry-run -Werror bpf/*.[ch] user/*.[ch] include/nsbpf/*.h tests/unit/*.[ch] tests/bench/*.[ch]
	# It knows neither libbpf's macros nor the cleanup attribute.
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=resourceLeak \
		-D'LIBBPF_OPTS(type,name,...)=struct type name' -Iinclude -Iuser \
		-itests/bench/redirect.bpf.c user tests/unit tests/bench

clean:
	rm -rf $(B)

help:
	printf '%s\n' \
	'make             build $(B)/nsbpf' \
	'sudo make demo   install what is missing, build, and show the main job on real traffic' \
	'sudo make test   install what is missing, build, and run all tests (TESTS=word: those with it in their name)' \
	'sudo make test-kernels  the main job and some of the tests on Linux 6.1, in a virtual machine' \
	'sudo make conformance  what the RFCs ask of a NAT, measured on nsbpf and on Linux (docs/nat-conformance.md)' \
	'sudo make bench  install what is missing, build, and measure nsbpf beside bridge and iptables (ROUNDS=n, QUICK=1, ONLY=traffic)' \
	'make install     PREFIX=$(PREFIX), DESTDIR=' \
	'make deb        a Debian package, in $(B)/deb' \
	'make check-style clang-format and cppcheck' \
	'make clean'
