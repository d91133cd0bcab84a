#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: the module counts packets of the first namespace
#
# The sample module ct_watch: what it counts is what a rule `ct state` would see.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft python3
ko=$compat/../../../build/$TESTBED_KERNEL/samples/ct_watch/ct_watch.ko
[ -e "$ko" ] || skip_all "no $ko: make samples KERNEL=$TESTBED_KERNEL"

# seen STATE [4|6]: neighbours and multicast make noise with IPv6, pings and what follows do not.
seen() { awk -v s="$1" -v c="${2:-4}" '$1 == s { print $(c / 2) }' /proc/net/ct_watch; }
restore() {
	nft delete table inet watch 2>/dev/null
	ip link del w0 2>/dev/null
	grep -q '^ct_watch ' /proc/modules && rmmod ct_watch
}

space "$C"
ip link add w0 address "$(mac 1 1)" type veth peer name c0 netns "$C"
ip addr add 10.0.1.1/24 dev w0
ip addr add 2001:db8:1::1/64 dev w0 nodad
ip -n "$C" addr add 10.0.1.2/24 dev c0
ip -n "$C" addr add 2001:db8:1::2/64 dev c0 nodad
ip link set w0 up
ip -n "$C" link set c0 up
in_ns "$C" ping -q -n -c1 -W5 10.0.1.1 >/dev/null
in_ns "$C" ping -q -n -c1 -W5 2001:db8:1::1 >/dev/null

ok "loads" insmod "$ko"
is "shows what it counts" "state new established related invalid untracked" "$(awk '{ print $1 }' /proc/net/ct_watch | xargs)"
like "its hooks are listed" 'ct_watch_ipv4' "$(nft list hooks ip 2>/dev/null)"
agent_start
in_ns "$C" ping -q -n -c1 -W5 10.0.1.1 >/dev/null
is "nobody asks for tracking: all is invalid" 1 "$(seen invalid)"
ok "a rule asks for it" nft -f - <<'END'
table inet watch {
	chain prerouting { type filter hook prerouting priority raw; udp dport 9999 notrack; }
	chain input { type filter hook input priority filter; ct state invalid drop; }
}
END
for a in 10.0.1.1 2001:db8:1::1; do
	in_ns "$C" ping -q -n -c3 -i0.1 -W5 $a >/dev/null
done
# A ping is an entry of its own; its second packet belongs to a connection that was answered.
is "new" "1 1" "$(seen new) $(seen new 6)"
is "established" "2 2" "$(seen established) $(seen established 6)"
say udp u init 10.0.1.1 9000
say udp v "$C" 10.0.1.2 9001
say udp-to v 10.0.1.1 9000
say udp-to v 10.0.1.1 9000
is "two datagrams without an answer are new" 3 "$(seen new)"
say udp-to v 10.0.1.1 9999
is "untracked" 1 "$(seen untracked)"
say inject "$C" c0 "$(mac 1 1)" tcp src=10.0.1.2 dst=10.0.1.1 sport=1 dport=2 flags=SF
is "invalid" 2 "$(seen invalid)"
# An error that this machine sends goes out; one that comes in is related.
say udp-to u 10.0.1.2 7
ok "an ICMP error is related" poll 5 eval '[ "$(seen related)" = 1 ]'
fact "$(awk 'NR > 1 { print $1, $2 }' /proc/net/ct_watch | xargs)"
ok "goes" rmmod ct_watch
refused "with its file" cat /proc/net/ct_watch
unlike "and its hooks" 'ct_watch' "$(nft list hooks ip 2>/dev/null)"
