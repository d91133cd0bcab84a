#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: it unloads modules.
# Each in-tree module that links to nf_conntrack: loads, refers to it, unloads; then
# all of them at once, with a rule and traffic, and all of it goes again.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need modprobe nft

# unload: all that links to it, whatever links to those, and itself.
unload() {
	local name
	for name in $(awk '{ print $1 }' /proc/modules) $(awk '{ print $1 }' /proc/modules); do
		case $name in
		*nf_* | *nft_* | nfnetlink* | xt_* | ip*t_* | ip*_tables | iptable* | ip_vs* | openvswitch | act_* | x_tables | nsh | libcrc32c)
			rmmod "$name" 2>/dev/null
			;;
		esac
	done
	! loaded nf_conntrack
}
loaded() { [ -d "/sys/module/$1" ]; }
unload_all() { poll 10 unload; }
complaints() { new_log | grep -vE 'mark|module verification|out-of-tree|taint' | sed -E 's/^\[[ 0-9.]+\] //'; }

# The suites of a module run each time that it is loaded: not here.
quiet=/sys/module/kunit/parameters/filter_glob
[ ! -w $quiet ] || echo none >$quiet
restore() {
	[ ! -w $quiet ] || echo '*' >$quiet
	modprobe -qa nf_conntrack nf_conntrack_netlink
}

poll 10 unload || fail "nf_conntrack does not unload: $(grep nf_conntrack /proc/modules)"
mark_log
mapfile -t names < <(
	find "/lib/modules/$(uname -r)/kernel/net" -name '*.ko*' | while read -r file; do
		case ,$(modinfo -F depends "$file" | tr '\n' ','), in
		*,nf_conntrack,*) basename "$file" | sed 's/\.ko.*//' ;;
		esac
	done | sort
)
fact "modules that link to nf_conntrack: ${#names[@]}"
for name in "${names[@]}"; do
	if modprobe "$name" 2>"$tmp/err" && loaded "$name" && [ -e "/sys/module/nf_conntrack/holders/$name" ]; then
		fact "$name: needs $(awk -v m="$name" '$4 ~ m"," { printf "%s ", $1 }' /proc/modules | tr ' ' '\n' | sort | xargs)"
		if modprobe -qr "$name" && { ! loaded nf_conntrack || unload_all; }; then
			pass "$name loads and unloads"
		else
			fail "$name does not unload: $(awk '{ print $1, $3, $4 }' /proc/modules | xargs)"
		fi
	else
		fail "$name loads: $(<"$tmp/err")"
	fi
done

# All of them.
modprobe -a "${names[@]}" 2>"$tmp/err"
together=$(find /sys/module/nf_conntrack/holders/ -mindepth 1 -printf '%f\n' | sort)
is "all at once" "$(printf '%s\n' "${names[@]}" | tr - _ | sort)" "$together"
space "$C" "$R"
link "$R" r1 "$C" c0 1
in_ns "$R" nft -f - <<'END'
table inet t {
	chain in { type filter hook input priority filter; ct state established,related,new counter accept; }
}
END
for address in 10.0.1.1 2001:db8:1::1; do
	ok "traffic to $address with all of them" in_ns "$C" ping -n -q -i 0.05 -c 10 -W 2 $address
done
fact <<<"$(entries "$R" | sed -E 's/ id=[0-9]+//g' | sort)"
for ns in "$C" "$R"; do ip netns del "$ns"; done
spaces=()
ok "all of them unload after traffic" unload_all
is "the kernel complains about nothing" "" "$(complaints | grep -E 'WARNING|BUG|Oops|leak|corrupt')"
complaints | sort | uniq | sed -E 's/\([0-9]+ buckets.*//' | fact
ok "it loads again" modprobe nf_conntrack
