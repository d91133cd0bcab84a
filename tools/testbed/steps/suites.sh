# shellcheck shell=bash disable=SC2154,SC2034 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# Test suites of the programs that use conntrack, from their source packages, with
# what of them has to be compiled. They test the programs of the root.

suite_packages=(conntrack-tools libnetfilter-conntrack nftables iptables)

step_suites() {
	local path
	rm -rf "$1"
	fetch_sources "$1" "${suite_packages[@]}"
	# The tests call the programs of their source tree.
	for path in conntrack-tools/src nftables/src; do
		mkdir -p "$1/$path"
	done
	ln -sf /usr/sbin/conntrack /usr/sbin/conntrackd /usr/sbin/nfct "$1/conntrack-tools/src/"
	ln -sf /usr/sbin/nft "$1/nftables/src/"
	"$tb/exec" sh -ec '
		cd "$1/conntrack-tools/tests"
		gcc -o conntrack/test conntrack/test-conntrack.c
		gcc -o nfct/test nfct/test.c
		cd "$1/libnetfilter-conntrack/tests"
		for name in test_api test_filter test_connlabel ct_stress ct_events_reliable; do
			gcc -o $name $name.c -lnetfilter_conntrack -lmnl
		done' sh "$1"
}
