#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bytes of ctnetlink: flows of every kind through a router (flows.py), and what a
# client on the kernel's YNL specification is told of them.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/../selftests/lib.sh"
need nft python3

ynl=$(cd "$(dirname "$0")" && pwd -P)
router
modprobe -qa nf_conntrack_ftp nf_conntrack_tftp nfnetlink_cttimeout

filter() {
	in_ns "$R" nft -f - <<'END'
table inet t {
	ct helper ftp { type "ftp" protocol tcp; }
	ct helper tftp { type "tftp" protocol udp; }
	ct expectation data { protocol tcp; dport 9876; timeout 1m; size 2; l3proto ip; }
	ct timeout brief { protocol tcp; l3proto ip; policy = { syn_sent : 20, established : 100 }; }
	chain raw {
		type filter hook prerouting priority raw
		udp dport 3000 ct zone set 3
		udp sport 3000 ct zone set 3
		udp dport 4000 ct original zone set 4
		udp dport 5000 ct reply zone set 5
		udp dport 65000 ct zone set 65535
		udp dport 7777 notrack
	}
	chain prerouting {
		type filter hook prerouting priority filter
		tcp dport 21 ct helper set "ftp"
		udp dport 69 ct helper set "tftp"
		tcp dport 8888 ct state new ct expectation set "data"
		ip protocol tcp tcp dport 8080 ct timeout set "brief"
	}
	chain forward {
		type filter hook forward priority filter
		udp dport 7000 ct mark set 0x10
		udp dport 7001 ct mark set ct mark | 0x1
		udp dport 7005 ct label set 5
		udp dport 7006 ct label set 127
	}
}
END
}

translate() {
	modprobe -qa nf_nat nf_nat_ftp nf_nat_tftp
	in_ns "$R" nft -f - <<'END'
table inet n {
	chain prerouting {
		type nat hook prerouting priority dstnat
		ip daddr 10.0.1.1 meta l4proto { tcp, udp, sctp } th dport 80 dnat ip to 10.0.2.9:8081
		ip6 daddr 2001:db8:1::1 meta l4proto { tcp, udp, sctp } th dport 80 dnat ip6 to [2001:db8:2::9]:8081
		meta l4proto udp th dport 2222 redirect to :22
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		ip daddr 10.0.2.9 meta l4proto { tcp, udp, sctp } th dport 90 snat ip to 10.0.2.1:2000
		ip6 daddr 2001:db8:2::9 meta l4proto { tcp, udp, sctp } th dport 90 snat ip6 to [2001:db8:2::1]:2000
		meta l4proto { tcp, udp } th dport { 21, 69, 91 } masquerade
		meta l4proto { icmp, ipv6-icmp } oifname r2 masquerade
	}
}
END
}

play() { # PART
	if in_ns "$R" python3 "$ynl/flows.py" "$1" "$C" "$R" "$S" >"$tmp/out" 2>"$tmp/err"; then
		pass "$1: the client understands all that it is told"
	else
		fail "$1: the client understands all that it is told"
	fi
	diag <"$tmp/err"
	while IFS= read -r line; do
		case $line in
		"ok "*) pass "$1: ${line#ok }" ;;
		"not ok "*) fail "$1: ${line#not ok }" ;;
		*) printf '# fact: %s: %s\n' "$1" "$line" ;;
		esac
	done <"$tmp/out"
}

ok "rules" filter
for switch in 1 0; do
	setctl "$R" net.netfilter.nf_conntrack_acct=$switch net.netfilter.nf_conntrack_timestamp=$switch
	play "flows-$switch"
	play "helpers-$switch"
done
setctl "$R" net.netfilter.nf_conntrack_acct=1
play requests
play policies
ok "rules that translate" translate
play nat
play requests-nat
is "nothing is left in the table" 0 "$(in_ns "$R" cat /proc/sys/net/netfilter/nf_conntrack_count)"
