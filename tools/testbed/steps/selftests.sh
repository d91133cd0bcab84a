# shellcheck shell=bash disable=SC2154,SC2034 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# The kernel's own tests: net/netfilter with its programs, net/openvswitch and
# tc-testing, which are scripts.

step_selftests() {
	local src obj=$1.obj
	src=$(readlink -f "$cache/source")
	rm -rf "$obj" "$1"
	mkdir -p "$obj"
	"$tb/exec" make -s -C "$src" O="$obj" headers
	"$tb/exec" make -C "$src/tools/testing/selftests" O="$obj" TARGETS=net/netfilter INSTALL_PATH="$1" install
	[ -x "$1/net/netfilter/conntrack_dump_flush" ] || die "the selftests' programs were not built"
	cp -r "$src/tools/testing/selftests/net/openvswitch" "$1/net/"
	cp -r "$src/tools/testing/selftests/tc-testing" "$1/"
	rm -rf "$obj"
}
