# shellcheck shell=bash disable=SC2154,SC2034 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# Packages: those of the machine itself, and an apt of its own for trixie.

# mirror: the Debian mirror that this machine uses.
mirror() {
	local uri
	if [ -n "${DEBIAN_MIRROR:-}" ]; then
		echo "$DEBIAN_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # apt's own variable
	uri=$(apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Component: main' |
		grep -Ev -- '-security|debug' | head -n 1) || true
	[ -n "$uri" ] || die "apt knows no Debian mirror here: run apt-get update, or set DEBIAN_MIRROR"
	echo "${uri%/}"
}

# settings: the machine's own ways to reach and judge a mirror, as apt options.
settings() {
	apt-config dump --format '%F "%v";%n' |
		grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy|https::CaInfo) ' || true
}

install_host_tools() {
	command -v mmdebstrap >/dev/null && command -v mount >/dev/null && return
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		mmdebstrap mount ca-certificates xz-utils
}

# trixie_apt COMMAND...: apt-get or apt-cache on trixie and its backports only.
trixie_apt() {
	APT_CONFIG=$cache/apt/conf "$@"
}

prepare_apt() {
	local url state=$cache/apt
	url=$(mirror)
	mkdir -p "$state/lists/partial" "$state/archives/partial"
	printf 'deb %s %s main\n' "$url" trixie "$url" trixie-backports >"$state/trixie.list"
	settings >"$state/settings"
	cat - "$state/settings" >"$state/conf" <<-END
		Dir::State::lists "$state/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$state";
		Dir::Etc::sourcelist "$state/trixie.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
	END
	trixie_apt apt-get -q update
}

# find_kernel: the newest stock 7.x kernel of trixie-backports, or KVER, and
# the version of its packages.
find_kernel() {
	local found=${KVER:-} version
	[ -n "$found" ] || found=$(trixie_apt apt-cache search --names-only '^linux-binary-7[.]' |
		sed -nE 's/^linux-binary-(7[.0-9]+\+deb[0-9]+-amd64) .*/\1/p' | sort -V | tail -n 1)
	[ -n "$found" ] || die "the mirror has no linux-binary-7.x for amd64 in trixie-backports: set DEBIAN_MIRROR"
	version=$(trixie_apt apt-cache show --no-all-versions "linux-headers-$found" 2>/dev/null |
		sed -n 's/^Version: //p')
	[ -n "$version" ] || die "the mirror has no linux-headers-$found: unset KVER, or name a release it has"
	echo "$found $version"
}

kver=
kversion=

# choose_kernel UPDATE: sets kver (uname -r) and kversion (of the packages),
# from the cache if it is known there.
choose_kernel() {
	local log=$logs/apt.log note=$cache/kernel${KVER:+-$KVER}
	if [ -n "$1" ] || [ ! -s "$note" ]; then
		say "looking for the newest kernel (log: $log)"
		install_host_tools >"$log" 2>&1 ||
			die "cannot install mmdebstrap: read $log"
		prepare_apt >>"$log" 2>&1 ||
			die "cannot reach the mirror: read $log, or set DEBIAN_MIRROR"
		find_kernel >"$note.new"
		mv "$note.new" "$note"
	fi
	read -r kver kversion <"$note"
}

# fetch FOLDER PACKAGE=VERSION...: their files into FOLDER.
fetch() {
	local into=$1
	shift
	mkdir -p "$into"
	(cd "$into" && trixie_apt apt-get -q download "$@") ||
		die "the mirror no longer has $*: run tools/testbed/setup --update"
}

# fetch_sources FOLDER PACKAGE...: unpacks the upstream part of trixie's newest source
# packages to FOLDER/PACKAGE. Lists of their own, so that nobody else's apt changes.
# What the mirror does not carry is noted in FOLDER/missing.
fetch_sources() {
	local into=$1 state=$cache/apt/sources package
	shift
	mkdir -p "$into" "$state/lists/partial" "$state/archives/partial"
	printf 'deb-src %s trixie main\n' "$(mirror)" >"$state/list"
	sed "s,$cache/apt,$state,; s,$state/trixie.list,$state/list," "$cache/apt/conf" >"$state/conf"
	APT_CONFIG=$state/conf apt-get -q update
	: >"$into/missing"
	for package; do
		mkdir -p "$into/$package"
		if (cd "$into" && APT_CONFIG=$state/conf apt-get -q source --download-only --tar-only "$package"); then
			tar -xf "$into/${package}_"*.orig.tar.* -C "$into/$package" --strip-components=1
		else
			echo "$package" >>"$into/missing"
		fi
	done
	rm -f "$into/"*.orig.tar.*
}
