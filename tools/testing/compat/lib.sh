# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the compatibility scenarios share, beyond the selftests' library: real
# servers and clients (peer.py), one fact for each thing that a user would notice.

compat=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=tools/testing/selftests/lib.sh
. "$compat/../selftests/lib.sh"

listens() { # NS t|u ADDRESS PORT
	in_ns "$1" ss -Hl"$2"n "sport = :$4" | grep -qF -- "$3"
}

# serve NS PROTO ADDRESS PORT: a server there; goes when the test does.
serve() {
	local kind=t
	case $2 in tftp | sip | udp) kind=u ;; esac
	# Not through in_ns: what is killed has to be the server itself.
	ip netns exec "$1" python3 -IS "$compat/peer.py" serve "$2" "$3" "$4" 2>>"$tmp/serve.err" &
	pids+=($!)
	poll 10 listens "$1" $kind "$3" "$4" || fail "server of $2 at $3"
}

# client WHAT WANTED NS ARG...: what a client of peer.py prints has WANTED (a
# regular expression) in it; all of it is a fact.
client() {
	local what=$1 wanted=$2 ns=$3 said line
	shift 3
	said=$(in_ns "$ns" python3 -IS "$compat/peer.py" "$@" 2>&1 | tail -n 12)
	like "$what" "$wanted" "$said"
	while IFS= read -r line; do fact "$what: $line"; done <<<"$said"
}

# Who closes first, and when the table is looked at, is chance.
settled='s/ (FIN_WAIT|CLOSE_WAIT|LAST_ACK|TIME_WAIT|CLOSE) / closing /'

# table WHAT NS [ARG...]: the table as facts; ports that the kernel chose are `p`.
table() {
	local what=$1
	shift
	entries "$@" | sed -E "$settled; s/ id=[0-9]+/ id=i/g; s/(port)=[3-6][0-9]{4}/\1=p/g; s/^/$what: /" | sort | fact
}

hit() { [ "$(packets "$1" "$2")" -ge "${3:-1}" ]; }

# helper_router: the router translates, has helpers assigned and lets in from the
# server's side what is related only.
helper_router() {
	router
	modprobe -qa nf_nat_ftp nf_nat_tftp nf_nat_irc nf_nat_sip
	helper_rules
}
helper_rules() {
	in_ns "$R" nft -f - <<'END'
flush ruleset
table inet t {
	counter related {}
	counter refused {}
	ct helper ftp { type "ftp" protocol tcp; }
	ct helper irc { type "irc" protocol tcp; }
	ct helper tftp { type "tftp" protocol udp; }
	ct helper sip { type "sip" protocol udp; }
	chain prerouting {
		type filter hook prerouting priority filter
		tcp dport 21 ct helper set "ftp"
		tcp dport 6667 ct helper set "irc"
		udp dport 69 ct helper set "tftp"
		udp dport 5060 ct helper set "sip"
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		ct state established accept
		ct state related counter name related accept
		iifname r1 tcp dport { 21, 6667 } accept
		iifname r1 udp dport { 69, 5060 } accept
		counter name refused
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname r2 masquerade
	}
}
END
}
