#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# IPVS with conntrack: masqueraded services, IPv4 and IPv6, with a rule on their
# state and SNAT by nft on top of them.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack ipvsadm

router
modprobe -qa ip_vs ip_vs_rr 2>/dev/null
in_ns "$R" ipvsadm -Ln >/dev/null 2>&1 || skip_all "no IPVS in this kernel"
serve "$S" echo 10.0.2.2 80
serve "$S" echo 2001:db8:2::2 80
serve "$S" udp 10.0.2.2 90
in_ns "$R" nft -f - <<'END'
table inet t {
	counter established {}
	counter invalid {}
	chain forward {
		type filter hook forward priority filter
		ct state invalid counter name invalid
		ct state established counter name established
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname r2 masquerade
	}
}
END
for conntrack in 1 0; do
	ok "net.ipv4.vs.conntrack=$conntrack" setctl "$R" net.ipv4.vs.conntrack=$conntrack
	in_ns "$R" ipvsadm -C
	in_ns "$R" ipvsadm -A -t 10.0.1.1:8080 -s rr
	in_ns "$R" ipvsadm -a -t 10.0.1.1:8080 -r 10.0.2.2:80 -m
	in_ns "$R" ipvsadm -A -t '[2001:db8:1::1]:8080' -s rr
	in_ns "$R" ipvsadm -a -t '[2001:db8:1::1]:8080' -r '[2001:db8:2::2]:80' -m
	in_ns "$R" ipvsadm -A -u 10.0.1.1:8090 -s rr
	in_ns "$R" ipvsadm -a -u 10.0.1.1:8090 -r 10.0.2.2:90 -m
	flush "$R"
	zero "$R"
	client "conntrack=$conntrack TCP" 'echo 20000' "$C" tcp 10.0.1.1 8080 20000 2000$conntrack
	client "conntrack=$conntrack TCP, IPv6" 'echo 20000' "$C" tcp 2001:db8:1::1 8080 20000 2001$conntrack
	client "conntrack=$conntrack UDP" 'echo 100' "$C" udp 10.0.1.1 8090 100 2002$conntrack
	table "conntrack=$conntrack" "$R" -f ipv4
	table "conntrack=$conntrack" "$R" -f ipv6
	fact "conntrack=$conntrack invalid=$(packets "$R" invalid)"
done
in_ns "$R" ipvsadm -C
