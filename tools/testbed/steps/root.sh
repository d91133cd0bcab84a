# shellcheck shell=bash disable=SC2154,SC2034 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# The root: toolchain of every build and file system of every guest.

step_root() {
	local packages opts=() line
	packages=$(grep -v '^#' "$tb/packages" | paste -sd,)
	while read -r line; do
		opts+=(--aptopt="$line")
	done <"$cache/apt/settings"
	rm -rf --one-file-system "$1"
	# shellcheck disable=SC2016 # expanded by mmdebstrap
	mmdebstrap --variant=minbase --mode=root "${opts[@]}" --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook='mkdir -p "$1/etc/lvm" "$1/testbed" && rm -f "$1/etc/resolv.conf"' \
		trixie "$1" "$cache/apt/trixie.list"
}
