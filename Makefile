# SPDX-License-Identifier: GPL-2.0
#
#   make                       the modules for the stock Debian kernel of the test bed
#   make KERNEL=uml-smp        ... for another kernel of the test bed
#   make KDIR=TREE [ARCH=um]   ... against any prepared kernel tree
#   make RECLAIM=n             ... without reclaim, to be compared with
#   make samples               the sample modules, for the same kernel
#   make exports [KDIR=TREE]   which symbols another 7.x kernel has added or dropped
#   make install, uninstall    into updates/ of a kernel's modules, and out again; with
#                              the plugin for iptables, and ctpolicy and man pages below PREFIX
#   make package               Debian packages in build/package: dkms, and for the test bed's kernel
#   make demo, check, bench, compare, floodlab
#
# The test bed (tools/testbed) installs itself on first use.

KERNEL ?= stock
suffix := $(if $(filter n,$(RECLAIM)),-without-reclaim)
RELEASE ?= $(if $(KDIR),$(shell cat "$(KDIR)/include/config/kernel.release"),$(shell uname -r))
MODULES ?= $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)
DESTDIR ?= $(INSTALL_MOD_PATH)
PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man
# Where iptables looks for plugins.
XTLIBDIR ?= $(or $(shell pkg-config --variable=xtlibdir xtables 2>/dev/null),/usr/lib/xtables)

override clone := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
override testbed := $(clone)/tools/testbed
override kos := nf_conntrack.ko xt_cttable.ko

.PHONY: all module samples exports setup install uninstall package demo check bench compare floodlab docs clean
all: module

# --- build

ifdef KDIR
# Named after the kernel's release.
BUILD ?= $(clone)/build/$(shell cat "$(KDIR)/include/config/kernel.release" 2>/dev/null)$(suffix)
module:
	@$(clone)/tools/probe --tree "$(KDIR)"
	@mkdir -p "$(BUILD)"
	$(MAKE) -C "$(KDIR)" M="$(clone)" MO="$(BUILD)" $(kos)
	@$(clone)/tools/xtables/build "$(BUILD)"
	@$(clone)/tools/btf "$(KDIR)" "$(BUILD)/nf_conntrack.ko"
	@echo "$(BUILD)/nf_conntrack.ko"
else
BUILD ?= $(clone)/build/$(KERNEL)$(suffix)
# User-Mode Linux is an architecture; its debugging kernel is clang's, for KASAN.
kernel-flags-uml-smp := ARCH=um
kernel-flags-uml-debug := ARCH=um LLVM=1
module:
	@$(testbed)/setup $(KERNEL)
	@mkdir -p "$(BUILD)"
	@+tree=$$($(testbed)/tree $(KERNEL)) && \
	flock "$(BUILD)" $(testbed)/exec sh -c '"$$0"/tools/probe --tree "$$1" && "$$0"/tools/xtables/build "$$2" && shift 2 && exec make "$$@"' \
		"$(clone)" "$$tree" "$(BUILD)" --no-print-directory -C "$$tree" $(kernel-flags-$(KERNEL)) \
		M="$(clone)" MO="$(BUILD)" $(if $(CLIPPY),CLIPPY=$(CLIPPY)) $(kos) && \
	$(testbed)/exec $(clone)/tools/btf "$$tree" "$(BUILD)/nf_conntrack.ko" "$$tree/../vmlinuz"
	@echo "$(BUILD)/nf_conntrack.ko"
endif

# Each sample in a folder of its own, with the module's bindings.
sample = mkdir -p "$(BUILD)/samples/$(1)" && \
	$(2) $(MAKE) --no-print-directory -C $(3) M="$(clone)/samples/$(1)" MO="$(BUILD)/samples/$(1)" \
		RCONNTRACK_BINDINGS="$(BUILD)/rust/bindings/bindings_generated.rs" $(4) modules && \
	echo "$(BUILD)/samples/$(1)/$(1).ko"

samples: module
ifdef KDIR
	@+$(call sample,ct_watch,,"$(KDIR)")
else
	@+tree=$$($(testbed)/tree $(KERNEL)) && $(call sample,ct_watch,$(testbed)/exec,"$$tree",$(kernel-flags-$(KERNEL)))
endif

exports:
ifdef KDIR
	@$(clone)/tools/testing/exports "$(KDIR)"
else
	@$(testbed)/exec $(clone)/tools/testing/exports "$$($(testbed)/tree $(KERNEL))"
endif

setup:
	@$(testbed)/setup

# --- install: depmod prefers updates/ to the kernel's own modules

override plugin := $(DESTDIR)$(XTLIBDIR)/libxt_cttable.so
override sbin := $(DESTDIR)$(PREFIX)/sbin
override man8 := $(DESTDIR)$(MANDIR)/man8

install:
	@$(clone)/tools/probe --install "$(BUILD)/nf_conntrack.ko" "$(RELEASE)"
	for ko in $(kos); do install -D -m 644 "$(BUILD)/$$ko" "$(MODULES)/updates/$$ko" || exit; done
	depmod $(if $(INSTALL_MOD_PATH),-b "$(INSTALL_MOD_PATH)") "$(RELEASE)"
	[ ! -e "$(BUILD)/libxt_cttable.so" ] || install -D -m 644 "$(BUILD)/libxt_cttable.so" "$(plugin)"
	install -D -m 755 "$(clone)/tools/ctpolicy" "$(sbin)/ctpolicy"
	install -D -m 644 "$(BUILD)/xt_cttable.8" "$(man8)/xt_cttable.8"
	install -D -m 644 "$(clone)/tools/ctpolicy.8" "$(man8)/ctpolicy.8"

uninstall:
	for ko in $(kos); do rm -f "$(MODULES)/updates/$$ko"; done
	depmod $(if $(INSTALL_MOD_PATH),-b "$(INSTALL_MOD_PATH)") "$(RELEASE)"
	rm -f "$(plugin)" "$(sbin)/ctpolicy" "$(man8)/xt_cttable.8" "$(man8)/ctpolicy.8"

package: module
	@+release=$$($(testbed)/tree release $(KERNEL)) && \
	$(testbed)/exec $(clone)/tools/packaging/build "$(clone)/build/package" "$(BUILD)/nf_conntrack.ko" "$$release"

# --- use

demo: module
	@$(clone)/tools/demo/run

check: setup
	@$(clone)/tools/check $(PARTS)

bench:
	@$(testbed)/setup uml-smp
	@+$(MAKE) --no-print-directory KERNEL=uml-smp module
	@+$(MAKE) --no-print-directory KERNEL=uml-smp RECLAIM=n module
	@$(clone)/tools/bench/run --without $(clone)/build/uml-smp-without-reclaim/nf_conntrack.ko

compare:
	@$(testbed)/setup uml-smp
	@+$(MAKE) --no-print-directory KERNEL=uml-smp module
	@$(clone)/tools/compare/run $(if $(SEQUENCES),--sequences $(SEQUENCES)) $(if $(SEED),--seed $(SEED))

floodlab:
	@$(testbed)/setup uml-smp
	@+$(MAKE) --no-print-directory KERNEL=uml-smp module
	@$(clone)/tools/floodlab/run

docs:
	@$(clone)/tools/docs/sysctl

clean:
	rm -rf "$(clone)/build"
