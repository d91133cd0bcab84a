#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Timeouts: the sysctl of each protocol and state decides; policies of nfct and
# iptables; UDP streams; expired entries go; retransmissions and unacknowledged data
# shorten.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	chain forward {
		type filter hook forward priority filter
		ct state invalid drop
	}
}
END
sys() { setctl "$R" "net.netfilter.nf_conntrack_$1=$2"; }
# near DESCRIPTION SECONDS FILTER...: the timeout is SECONDS, or a little less.
near() {
	local what=$1 seconds=$2
	shift 2
	within "$what" $((seconds - 40)) "$seconds" "$(timeout_of "$R" "$@")"
}

i=0
for state in syn_sent syn_recv established fin_wait close_wait last_ack time_wait close max_retrans unacknowledged; do
	i=$((i + 1))
	sys "tcp_timeout_$state" $((i * 1000))
done
sys udp_timeout 11000
sys udp_timeout_stream 12000
sys icmp_timeout 13000
sys icmpv6_timeout 14000
sys generic_timeout 15000
sys gre_timeout 16000
sys gre_timeout_stream 17000
i=0
for state in closed cookie_wait cookie_echoed established shutdown_sent shutdown_recd shutdown_ack_sent heartbeat_sent; do
	i=$((i + 1))
	sys "sctp_timeout_$state" $((i * 1000 + 20000))
done

for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9 f=ipv4 icmp=icmp echo=8 secs=13000; } ||
		{ l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6 icmp=icmpv6 echo=128 secs=14000; }
	there() { left tcp src=$l dst=$h sport=1 dport=2 win=10000 "$@"; }
	back() { right tcp src=$h dst=$l sport=2 dport=1 win=10000 "$@"; }
	flush "$R"
	there flags=S seq=1
	near "IPv$family TCP SYN_SENT" 1000 -f $f -p tcp
	back flags=SA seq=1 ack=2
	near "IPv$family TCP SYN_RECV" 2000 -f $f -p tcp
	there flags=A seq=2 ack=2
	near "IPv$family TCP ESTABLISHED" 3000 -f $f -p tcp
	there flags=A seq=2 ack=2 len=100
	fact "IPv$family TCP with data not acknowledged: $(timeout_of "$R" -f $f -p tcp | sed 's/..$//')xx"
	for n in 1 2 3 4 5; do there flags=A seq=2 ack=2 len=100; done
	near "IPv$family TCP retransmitting the same data: tcp_timeout_max_retrans, if it is the shorter" 3000 -f $f -p tcp
	back flags=A seq=2 ack=102
	near "IPv$family TCP acknowledged again" 3000 -f $f -p tcp
	there flags=FA seq=102 ack=2
	near "IPv$family TCP FIN_WAIT" 4000 -f $f -p tcp
	back flags=A seq=2 ack=103
	near "IPv$family TCP CLOSE_WAIT" 5000 -f $f -p tcp
	back flags=FA seq=2 ack=103
	near "IPv$family TCP LAST_ACK" 6000 -f $f -p tcp
	there flags=A seq=103 ack=3
	near "IPv$family TCP TIME_WAIT" 7000 -f $f -p tcp
	flush "$R"
	there flags=S seq=1
	back flags=SA seq=1 ack=2
	back flags=R seq=2
	near "IPv$family TCP CLOSE" 8000 -f $f -p tcp

	# With a large one for the state, the special ones are seen.
	flush "$R"
	sys tcp_timeout_established 50000
	there flags=S seq=1
	back flags=SA seq=1 ack=2
	there flags=A seq=2 ack=2
	there flags=A seq=2 ack=2 len=100
	near "IPv$family TCP unacknowledged data" 10000 -f $f -p tcp
	for n in 1 2 3 4 5; do there flags=A seq=2 ack=2 len=100; done
	near "IPv$family TCP after too many retransmissions" 9000 -f $f -p tcp
	sys tcp_timeout_established 3000

	left udp src=$l dst=$h sport=1 dport=2
	near "IPv$family UDP" 11000 -f $f -p udp
	right udp src=$h dst=$l sport=2 dport=1
	near "IPv$family UDP, first answer" 11000 -f $f -p udp
	stream() {
		left udp src=$l dst=$h sport=1 dport=2
		entry "$R" -f $f -p udp | grep -q ASSURED
	}
	ok "IPv$family UDP: assured once it goes on for two seconds" poll 15 stream
	near "IPv$family UDP stream" 12000 -f $f -p udp
	left icmp src=$l dst=$h type=$echo id=3
	near "IPv$family ICMP" $secs -f $f -p $icmp
	left ip src=$l dst=$h proto=253 len=8
	within "IPv$family any other" 14900 15000 "$(in_ns "$R" sed -nE 's/.*unknown +253 ([0-9]+) .*/\1/p' /proc/net/nf_conntrack | tail -n1)"
	left gre src=$l dst=$h key=3
	near "IPv$family GRE" 16000 -f $f -p gre
	right gre src=$h dst=$l key=3
	fact "IPv$family GRE answered: $(timeout_of "$R" -f $f -p gre | sed 's/..$//')xx"
	left sctp src=$l dst=$h sport=1 dport=2 chunk=1 vtag=0 itag=7
	fact "IPv$family SCTP INIT: $(timeout_of "$R" -f $f -p sctp | sed 's/..$//')xx"
	right sctp src=$h dst=$l sport=2 dport=1 chunk=2 vtag=7 itag=8
	left sctp src=$l dst=$h sport=1 dport=2 chunk=10 vtag=8
	fact "IPv$family SCTP COOKIE_ECHO: $(timeout_of "$R" -f $f -p sctp | sed 's/..$//')xx"
	right sctp src=$h dst=$l sport=2 dport=1 chunk=11 vtag=7
	near "IPv$family SCTP ESTABLISHED" 24000 -f $f -p sctp
	like "IPv$family SCTP is assured" ASSURED "$(entry "$R" -f $f -p sctp)"
	fact "$(entries "$R" -f $f)"
	flush "$R"
done

# A shorter value takes effect with the next packet; 0 ends the entry.
sys udp_timeout 500
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2
sys udp_timeout 100
within "a new value does not touch the entry" 400 500 "$(timeout_of "$R" -p udp)"
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2
within "but the next packet takes it" 60 100 "$(timeout_of "$R" -p udp)"
sys udp_timeout 1
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2
gone() { [ -z "$(entry "$R" -p udp)" ]; }
ok "and the entry goes when it is over" poll 6 gone
left udp src=10.0.1.9 dst=10.0.2.9 sport=5 dport=6
ok "conntrack -L does not list what has expired" poll 6 gone
# The next packet of an expired flow starts a new one.
left udp src=10.0.1.9 dst=10.0.2.9 sport=5 dport=6
right udp src=10.0.2.9 dst=10.0.1.9 sport=6 dport=5
sleep 1.2
zeroed=$(in_ns "$R" conntrack -L -p udp 2>/dev/null | wc -l)
left udp src=10.0.1.9 dst=10.0.2.9 sport=5 dport=6
fact "expired: $zeroed listed"
like "a packet after the end starts a new flow" UNREPLIED "$(entry "$R" -p udp --sport 5)"

# Policies by name: nfct makes them, iptables' CT target uses them.
if command -v nfct >/dev/null && in_ns "$R" nfct add timeout quick inet udp unreplied 77 replied 200 2>"$tmp/err"; then
	sys udp_timeout 30
	flush "$R"
	in_ns "$R" iptables -t raw -A PREROUTING -p udp --dport 99 -j CT --timeout quick
	left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=99
	within "policy of nfct: unreplied" 40 77 "$(timeout_of "$R" -p udp --dport 99)"
	left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=98
	within "without it" 1 30 "$(timeout_of "$R" -p udp --dport 98)"
	in_ns "$R" nfct get timeout quick | fact
	in_ns "$R" nfct delete timeout quick >/dev/null 2>&1
	fact "deleting a policy in use: $?"
	left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=99
	fact "the entry it was used for: $(timeout_of "$R" -p udp --dport 99 | sed 's/.$//')x"
	in_ns "$R" iptables -t raw -F
	in_ns "$R" nfct delete timeout quick >/dev/null 2>&1
	refused "a policy that is gone cannot be used" in_ns "$R" iptables -t raw -A PREROUTING -p udp -j CT --timeout quick
	like "the entry it was used for goes on" 'dport=99' "$(entry "$R" -p udp --dport 99)"
	for proto in tcp udp sctp icmp icmpv6 generic gre; do
		in_ns "$R" nfct default-get timeout "$([ $proto = icmpv6 ] && echo inet6 || echo inet)" $proto 2>&1 | fact
	done
else
	skip "policies by name" "no nfct, or the kernel has no nfnetlink_cttimeout"
fi
