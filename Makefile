# SPDX-License-Identifier: GPL-2.0
#
#   make                       the module for the stock Debian kernel of the test bed
#   make KERNEL=uml-smp        ... for another kernel of the test bed
#   make KDIR=TREE [ARCH=um]   ... against any prepared kernel tree
#   make install, uninstall    into updates/ of a kernel's modules, and out again
#   make package               Debian packages in build/package: dkms, and for the test bed's kernel
#   make demo, check, bench, compare
#
# The test bed (tools/testbed) installs itself on first use.

KERNEL ?= stock
RELEASE ?= $(if $(KDIR),$(shell cat "$(KDIR)/include/config/kernel.release"),$(shell uname -r))
MODULES ?= $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)

override clone := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
override testbed := $(clone)/tools/testbed

.PHONY: all module setup install uninstall package demo check bench compare docs clean
all: module

# --- build

ifdef KDIR
# Named after the kernel's release.
BUILD ?= $(clone)/build/$(shell cat "$(KDIR)/include/config/kernel.release" 2>/dev/null)
module:
	@$(clone)/tools/probe --tree "$(KDIR)"
	@mkdir -p "$(BUILD)"
	$(MAKE) -C "$(KDIR)" M="$(clone)" MO="$(BUILD)" nf_conntrack.ko
	@echo "$(BUILD)/nf_conntrack.ko"
else
BUILD ?= $(clone)/build/$(KERNEL)
# User-Mode Linux is an architecture; its debugging kernel is clang's, for KASAN.
kernel-flags-uml-smp := ARCH=um
kernel-flags-uml-debug := ARCH=um LLVM=1
module:
	@$(testbed)/setup $(KERNEL)
	@mkdir -p "$(BUILD)"
	@+tree=$$($(testbed)/tree $(KERNEL)) && \
	flock "$(BUILD)" $(testbed)/exec sh -c '"$$0"/tools/probe --tree "$$1" && shift && exec make "$$@"' \
		"$(clone)" "$$tree" --no-print-directory -C "$$tree" $(kernel-flags-$(KERNEL)) \
		M="$(clone)" MO="$(BUILD)" $(if $(CLIPPY),CLIPPY=$(CLIPPY)) nf_conntrack.ko
	@echo "$(BUILD)/nf_conntrack.ko"
endif

setup:
	@$(testbed)/setup

# --- install: depmod prefers updates/ to the kernel's own modules

install:
	@$(clone)/tools/probe --install "$(BUILD)/nf_conntrack.ko" "$(RELEASE)"
	install -D -m 644 "$(BUILD)/nf_conntrack.ko" "$(MODULES)/updates/nf_conntrack.ko"
	depmod $(if $(INSTALL_MOD_PATH),-b "$(INSTALL_MOD_PATH)") "$(RELEASE)"

uninstall:
	rm -f "$(MODULES)/updates/nf_conntrack.ko"
	depmod $(if $(INSTALL_MOD_PATH),-b "$(INSTALL_MOD_PATH)") "$(RELEASE)"

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
	@$(clone)/tools/bench/run

compare:
	@$(testbed)/setup uml-smp
	@+$(MAKE) --no-print-directory KERNEL=uml-smp module
	@$(clone)/tools/compare/run $(if $(SEQUENCES),--sequences $(SEQUENCES)) $(if $(SEED),--seed $(SEED))

docs:
	@$(clone)/tools/docs/sysctl

clean:
	rm -rf "$(clone)/build"
