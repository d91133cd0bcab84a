#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Packet states as rules see them: new, established, related, invalid, untracked,
# for TCP, UDP, ICMP, over IPv4 and IPv6, in a router and on the hosts themselves.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start

in_ns "$R" nft -f - <<'END'
table inet t {
	counter new {}
	counter established {}
	counter related {}
	counter invalid {}
	counter untracked {}
	chain raw {
		type filter hook prerouting priority raw
		udp dport 7777 notrack
	}
	chain pre {
		type filter hook prerouting priority filter
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return
		ip6 daddr ff00::/8 return
		ip6 saddr fe80::/10 return
		ct state new counter name new
		ct state established counter name established
		ct state related counter name related
		ct state invalid counter name invalid
		ct state untracked counter name untracked
	}
	chain forward {
		type filter hook forward priority filter
		udp dport 6666 drop
	}
}
END

for family in 4 6; do
	if [ $family = 4 ]; then
		c=10.0.1.2 s=10.0.2.2 r=10.0.1.1 l=10.0.1.9 h=10.0.2.9 f=ipv4 any=0.0.0.0 icmp=icmp
	else
		c=2001:db8:1::2 s=2001:db8:2::2 r=2001:db8:1::1 l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6 any=:: icmp=icmpv6
	fi
	flush "$R"

	# TCP: the whole life of a connection, packet by packet.
	packet() { # SIDE FLAGS KEY=VALUE...
		local side=$1 flags=$2 src=$l dst=$h sport=40000 dport=80
		shift 2
		[ "$side" = left ] || { src=$h dst=$l sport=80 dport=40000; }
		"$side" tcp src=$src dst=$dst sport=$sport dport=$dport "flags=$flags" "$@"
	}
	state() {
		entry "$R" -f $f -p tcp --orig-src $l | sed -nE 's/^tcp +6 [0-9]+ ([A-Z_]+) .*/\1/p'
	}
	step() { # WANTED_STATE WANTED_COUNTS SIDE FLAGS KEY=VALUE...
		local want=$1 counted=$2
		shift 2
		zero "$R"
		packet "$@"
		is "IPv$family TCP $1 $2: entry is ${want:-absent}" "$want" "$(state)"
		is "IPv$family TCP $1 $2: packet is ${counted%%=*}" "$counted" \
			"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	}
	step SYN_SENT new=1 left S seq=100 win=1000
	like "IPv$family TCP: unreplied after the first SYN" '\[UNREPLIED\]' "$(entry "$R" -f $f -p tcp)"
	step SYN_RECV established=1 right SA seq=500 ack=101 win=1000
	unlike "IPv$family TCP: not assured before the handshake is over" 'ASSURED|UNREPLIED' "$(entry "$R" -f $f -p tcp)"
	step ESTABLISHED established=1 left A seq=101 ack=501 win=1000
	like "IPv$family TCP: assured after the handshake" 'ASSURED' "$(entry "$R" -f $f -p tcp)"
	within "IPv$family TCP: established timeout" 431900 432000 "$(timeout_of "$R" -f $f -p tcp)"
	step ESTABLISHED established=1 left A seq=101 ack=501 len=100
	step ESTABLISHED established=1 right A seq=501 ack=201 win=1000
	step ESTABLISHED invalid=1 left A seq=900000 ack=501 len=100
	step ESTABLISHED invalid=1 left R seq=900000
	step ESTABLISHED invalid=1 right SFA seq=501 ack=201
	step FIN_WAIT established=1 left FA seq=201 ack=501
	step CLOSE_WAIT established=1 right A seq=501 ack=202
	step LAST_ACK established=1 right FA seq=501 ack=202
	step TIME_WAIT established=1 left A seq=202 ack=502
	step SYN_SENT new=1 left S seq=70000 win=1000
	step SYN_RECV established=1 right SA seq=90000 ack=70001 win=1000
	step CLOSE established=1 right RA seq=90001 ack=70001
	within "IPv$family TCP: close timeout" 1 10 "$(timeout_of "$R" -f $f -p tcp)"
	fact "$(entries "$R" -f $f -p tcp)"

	flush "$R"
	step '' invalid=1 left SFA seq=1
	step '' invalid=1 left 0 seq=1
	step '' invalid=1 left SA seq=1 ack=1
	step ESTABLISHED new=1 left A seq=1000 ack=2000
	like "IPv$family TCP: picked up in the middle is not assured yet" 'UNREPLIED' "$(entry "$R" -f $f -p tcp)"
	setctl "$R" net.netfilter.nf_conntrack_tcp_loose=0
	flush "$R"
	step '' invalid=1 left A seq=1000 ack=2000
	setctl "$R" net.netfilter.nf_conntrack_tcp_loose=1
	flush "$R"

	# TCP with real stacks.
	zero "$R"
	say tcp-listen l "$S" $s 81
	say tcp-connect a "$C" $s 81 sport=41000
	say accept b l
	say exchange a b 200000
	like "IPv$family TCP: real connection is assured" "ESTABLISHED src=$c dst=$s sport=41000 dport=81 .*ASSURED" \
		"$(entry "$R" -f $f -p tcp --dport 81)"
	say close a
	say close b
	say close l
	like "IPv$family TCP: real connection in TIME_WAIT" TIME_WAIT "$(entry "$R" -f $f -p tcp --dport 81)"
	is "IPv$family TCP: one new packet in a connection, none invalid" "new=1 invalid=0 related=0" \
		"$(for k in new invalid related; do printf '%s=%s ' $k "$(packets "$R" $k)"; done | sed 's/ $//')"
	zero "$R"
	refused "IPv$family TCP: port closed" agent tcp-connect a "$C" $s 9 sport=41001
	is "IPv$family TCP: SYN is new, RST is established" "new=1 established=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	is "IPv$family TCP: a refused connection leaves no entry" "" "$(entry "$R" -f $f -p tcp --dport 9)"

	# UDP: new, established by the answer, a stream after the next packet.
	flush "$R"
	zero "$R"
	say udp a "$C" $c 5001
	say udp b "$S" $s 5002
	say udp-to a $s 5002
	agent recv b >/dev/null
	like "IPv$family UDP: unreplied" "sport=5001 dport=5002 \[UNREPLIED\]" "$(entry "$R" -f $f -p udp)"
	within "IPv$family UDP: timeout of an unreplied flow" 10 30 "$(timeout_of "$R" -f $f -p udp)"
	say udp-to b $c 5001
	agent recv a >/dev/null
	unlike "IPv$family UDP: replied, not assured" 'UNREPLIED|ASSURED' "$(entry "$R" -f $f -p udp)"
	is "IPv$family UDP: one new, one established" "new=1 established=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	say close a
	say close b
	fact "$(entries "$R" -f $f -p udp)"

	# A packet that the rules drop leaves no entry.
	flush "$R"
	left udp src=$l dst=$h sport=1 dport=6666
	is "IPv$family UDP: nothing stays of a dropped packet" 0 "$(size "$R")"

	# Untracked.
	zero "$R"
	left udp src=$l dst=$h sport=1 dport=7777
	is "IPv$family: notrack gives untracked and no entry" "untracked=1 0" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ') $(size "$R")"

	# ICMP: echo; errors are related to the connection inside them.
	zero "$R"
	is "IPv$family ICMP: echo is answered" reply "$(agent ping "$C" $s 0x1234)"
	is "IPv$family ICMP: request new, reply established" "new=1 established=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	like "IPv$family ICMP: entry has id and types" "^$icmp +[0-9]+ .*type=(8|128) code=0 id=4660 .*type=(0|129) code=0 id=4660" \
		"$(entry "$R" -f $f -p $icmp)"
	fact "$(entries "$R" -f $f -p $icmp)"
	flush "$R"
	zero "$R"
	say udp a "$C" $c 5003
	say udp-to a $s 4444
	refused "IPv$family ICMP: port unreachable reaches the sender" agent send a x
	poll 3 eval '[ "$(packets "$R" related)" = 1 ]'
	is "IPv$family ICMP: the error is related" "new=1 related=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	say close a
	# An error about a flow that nobody knows, and one with a broken inner header.
	flush "$R"
	zero "$R"
	un=$([ $family = 4 ] && echo 'type=3 code=1' || echo 'type=1 code=3')
	cut=$([ $family = 4 ] && echo 22 || echo 42)
	# shellcheck disable=SC2086
	right icmp src=$h dst=$l $un "inner=udp/src=$l/dst=$h/sport=9/dport=10"
	is "IPv$family ICMP: an error about an unknown flow is invalid" "invalid=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	left udp src=$l dst=$h sport=9 dport=10
	zero "$R"
	# shellcheck disable=SC2086
	right icmp src=$h dst=$l $un "inner=udp/src=$l/dst=$h/sport=9/dport=10"
	# shellcheck disable=SC2086
	right icmp src=$h dst=$l $un "inner=udp/src=$l/dst=$h/sport=9/dport=10/total=$cut"
	# shellcheck disable=SC2086
	right icmp src=$h dst=$l $un csum=bad "inner=udp/src=$l/dst=$h/sport=9/dport=10"
	fact "IPv$family ICMP errors: $(counts "$R")"
	is "IPv$family ICMP: right error related, cut and damaged ones invalid" "1 2" \
		"$(packets "$R" related) $(packets "$R" invalid)"
	zero "$R"
	rep=$([ $family = 4 ] && echo type=0 || echo type=129)
	right icmp src=$h dst=$l $rep id=77
	is "IPv$family ICMP: a reply that nobody asked for is invalid" "invalid=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"

	# Any other protocol: both directions make one flow.
	flush "$R"
	zero "$R"
	left ip src=$l dst=$h proto=253 len=20
	right ip src=$h dst=$l proto=253 len=20
	is "IPv$family other protocol: new, then established" "new=1 established=1" \
		"$(counts "$R" | tr ' ' '\n' | grep -v '=0$' | paste -sd' ')"
	fact "$(entries "$R" -f $f)"

	# The hosts' own packets: output and input paths.
	flush "$R"
	zero "$R"
	is "IPv$family: the router's own address answers" reply "$(agent ping "$C" $r)"
	like "IPv$family: traffic to the router itself is tracked" "dst=$r .*src=$r" "$(entry "$R" -f $f -p $icmp)"
	is "IPv$family: traffic from the router itself" reply "$(agent ping "$R" $s)"
	is "IPv$family: two flows" 2 "$(size "$R")"
done

# Fragments are put together before they are tracked.
flush "$R"
zero "$R"
ok "IPv4: large ping in fragments" in_ns "$C" ping -q -n -c1 -W5 -s 4000 10.0.2.2
ok "IPv6: large ping in fragments" in_ns "$C" ping -q -n -c1 -W5 -s 4000 2001:db8:2::2
is "fragments: two flows, none invalid" "2 2 0" "$(packets "$R" new) $(packets "$R" established) $(packets "$R" invalid)"

# Neighbour discovery is never tracked.
in_ns "$R" ip -6 neigh flush dev r2 2>/dev/null
in_ns "$R" nft add rule inet t raw icmpv6 type nd-neighbor-advert counter
zero "$R"
flush "$R"
in_ns "$S" ping -q -n -c1 -W5 2001:db8:2::1 >/dev/null
unlike "neighbour discovery leaves no entry" 'type=13[3-7]' "$(entry "$R" -f ipv6)"
