#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Conntrack on a bridge: state, NAT-free rules, fragments, VLAN-free, IPv4 and IPv6.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack

space "$C" "$R" "$S"
link "$R" r1 "$C" c0 1
link "$R" r2 "$S" s0 2
for at in "$C c0 1" "$S s0 2"; do
	read -r ns dev host <<<"$at"
	ip -n "$ns" addr add 10.0.7.$host/24 dev "$dev"
	ip -n "$ns" addr add 2001:db8:7::$host/64 dev "$dev" nodad
done
ip -n "$R" link add br0 type bridge
ip -n "$R" link set r1 master br0
ip -n "$R" link set r2 master br0
ip -n "$R" link set br0 up
serve "$S" echo 10.0.7.2 80
serve "$S" echo 2001:db8:7::2 80
serve "$S" udp 10.0.7.2 90
in_ns "$R" nft -f - <<'END'
table bridge t {
	counter new {}
	counter established {}
	counter related {}
	chain forward {
		type filter hook forward priority filter; policy drop
		ether type arp accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		ct state established counter name established accept
		ct state related counter name related accept
		iifname r1 ct state new counter name new accept
	}
}
END
client "TCP" 'echo 20000' "$C" tcp 10.0.7.2 80 20000 20001
client "TCP, IPv6" 'echo 20000' "$C" tcp 2001:db8:7::2 80 20000 20002
client "UDP in fragments" 'echo 5000' "$C" udp 10.0.7.2 90 5000 20003
client "port unreachable comes through" ConnectionRefused "$C" refused 10.0.7.2 999
client "port unreachable comes through, IPv6" ConnectionRefused "$C" refused 2001:db8:7::2 999
like "ping" ' 0% packet loss' "$(in_ns "$C" ping -n -c 1 -W 3 10.0.7.2)"
like "ping, IPv6, in fragments" ' 0% packet loss' "$(in_ns "$C" ping -n -c 1 -W 3 -s 4000 2001:db8:7::2)"
serve "$C" echo 10.0.7.1 80
client "nothing new from the other side" 'Error' "$S" tcp 10.0.7.1 80 10
table bridge "$R" -f ipv4
table bridge "$R" -f ipv6
fact "new=$(packets "$R" new) related=$(packets "$R" related)"
in_ns "$R" nft flush ruleset
