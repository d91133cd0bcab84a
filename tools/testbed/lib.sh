# shellcheck shell=bash disable=SC2034 # variables of those that source it
# SPDX-License-Identifier: GPL-2.0
# What every testbed command shares: where things are, and the merged root.

tb=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
clone=${tb%/tools/testbed}
cache=${RCONNTRACK_CACHE:-${HOME:-/root}/.cache/rconntrack}

die() {
	echo "${0##*/}: $*" >&2
	exit 2
}

need_root() {
	[ "$(id -u)" = 0 ] || die "run this as root: it mounts and chroots"
}

# have ARTEFACT: fails with the command that makes it.
have() {
	[ -e "$cache/$1" ] || die "no $1 in $cache: run tools/testbed/setup $1 first"
}

# merge FOLDER [LOWER...]: in a mount namespace of its own, puts a throw-away
# view of the root at FOLDER: each LOWER on top of it, all writes to memory.
merge() {
	local at=$1 lower=''
	shift
	while [ $# -gt 0 ]; do
		lower+=$1:
		shift
	done
	mount -t tmpfs -o mode=755,size=90% tmpfs "$at"
	mkdir "$at/root" "$at/up" "$at/work"
	mount -t overlay -o "lowerdir=$lower$(readlink -f "$cache/root"),upperdir=$at/up,workdir=$at/work" \
		overlay "$at/root"
	mount --rbind /proc "$at/root/proc"
	mount --rbind /sys "$at/root/sys"
	mount --rbind /dev "$at/root/dev"
}

# show FOLDER MODE PATH: PATH of the host at the same place under FOLDER.
show() {
	if [ -d "$3" ]; then
		mkdir -p "$1$3"
	else
		mkdir -p "$1${3%/*}"
		: >"$1$3"
	fi
	mount --bind "$3" "$1$3"
	[ "$2" = rw ] || mount -o remount,bind,ro "$1$3"
}
