# shellcheck shell=bash disable=SC2034,SC2154 # variables of who sources this
# SPDX-License-Identifier: GPL-2.0
# To be sourced by what builds Rust programs for the host, with `clone` and `cache` set.

# find_cargo: sets `cargo` to the CARGO of the environment, the host's, or that of the testbed's
# root, which is made if need be.
find_cargo() {
	if [ -n "${CARGO:-}" ]; then
		read -ra cargo <<<"$CARGO"
		return
	fi
	cargo=(cargo)
	! command -v cargo >/dev/null || return 0
	mkdir -p "$cache/host"
	cargo=("$clone/tools/testbed/exec" env "CARGO_HOME=$cache/host/cargo" cargo)
	# The root knows Debian's certificates only; what this machine trusts counts.
	if cp /etc/ssl/certs/ca-certificates.crt "$cache/host/ca.crt" 2>/dev/null; then
		export CARGO_HTTP_CAINFO=$cache/host/ca.crt
	fi
	"${cargo[@]}" --version >/dev/null 2>&1 || "$clone/tools/testbed/setup" root >&2
}

# share_target NAME OPTION...: sets CARGO_TARGET_DIR to a folder that all clones share, one at a time,
# so that a fresh clone does not build others' crates again. Of its own packages cargo would take what
# another clone built, as long as that is newer than the files here, so these go first if another
# clone was here: OPTION... is `-p` of each, and what else cargo has to know of them.
share_target() {
	local name=$1 lock version profile
	shift
	version=$("${cargo[@]}" --version 2>&1) || {
		printf '%s does not run: %s\n' "${cargo[*]}" "$version" >&2
		return 2
	}
	# What is built must not be mixed between toolchains.
	CARGO_TARGET_DIR=$cache/target/$name-$(printf '%s' "${cargo[*]} $version" | sha256sum | cut -c1-12)
	export CARGO_TARGET_DIR
	mkdir -p "$CARGO_TARGET_DIR"
	exec {lock}>"$CARGO_TARGET_DIR.lock"
	flock "$lock"
	[ "$(cat "$CARGO_TARGET_DIR.clone" 2>/dev/null)" != "$clone" ] || return 0
	for profile in dev release; do
		"${cargo[@]}" clean --quiet --profile $profile "$@" || return
	done
	echo "$clone" >"$CARGO_TARGET_DIR.clone"
}
