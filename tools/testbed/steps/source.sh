# shellcheck shell=bash disable=SC2154,SC2034 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# The source of the stock kernel, with Debian's patches.

step_source() {
	local series
	series=$(cut -d. -f1,2 <<<"$kver")
	rm -rf "$1" "$1.tmp"
	fetch "$1.tmp" "linux-source-$series=$kversion"
	dpkg-deb -x "$1.tmp/"*.deb "$1.tmp/x"
	tar -xf "$1.tmp/x/usr/src/linux-source-$series.tar.xz" -C "$1.tmp"
	mv "$1.tmp/linux-source-$series" "$1"
	rm -rf "$1.tmp"
}
