# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What selftests with -m cttable source: iptables finds the plugin that was built
# with the module for this kernel.

# need_cttable: skips the test where the match or its plugin was not built.
need_cttable() {
	local built=$here/../../../build/${TESTBED_KERNEL:-} installed
	installed=$(dirname "$(find /usr/lib /usr/local/lib -name libxt_conntrack.so -o -name libxt_cttable.so 2>/dev/null | head -n 1)")
	if [ -e "$built/libxt_cttable.so" ]; then
		mkdir -p "$tmp/xtables"
		cp "$built/libxt_cttable.so" "$tmp/xtables/"
		export XTABLES_LIBDIR=$tmp/xtables:$installed
	fi
	if ! modinfo xt_cttable >/dev/null 2>&1 || ! iptables -m cttable --help 2>/dev/null | grep -q table-above; then
		skip_all "xt_cttable.ko or libxt_cttable.so is not there"
	fi
}

# has IPTABLES TABLE: this kernel can do that.
has() { command -v "$1" >/dev/null && in_ns "$R" "$1" -t "$2" -S >/dev/null 2>&1; }
