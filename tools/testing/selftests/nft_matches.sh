#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# nftables' ct expressions: state, direction, status, mark, label, zone,
# expiration, addresses and ports, bytes, packets and average, id, helper and
# timeout objects, event, count; reading and setting.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
setctl "$R" net.netfilter.nf_conntrack_acct=1
mkdir -p "$tmp/etc"

in_ns "$R" nft -f - <<'END' || fail "the rule set loads"
table inet t {
	counter original {}
	counter reply {}
	counter seen {}
	counter unseen {}
	counter assured {}
	counter confirmed {}
	counter status_mask {}
	counter mark5 {}
	counter mark_masked {}
	counter label {}
	counter zone {}
	counter fresh {}
	counter old {}
	counter saddr {}
	counter daddr6 {}
	counter protodst {}
	counter reply_saddr {}
	counter l3ip {}
	counter proto {}
	counter bytes_orig {}
	counter bytes_many {}
	counter pkts_reply {}
	counter pkts_both {}
	counter avgpkt {}
	counter vmap_est {}
	counter vmap_new {}
	counter many {}
	counter notstate {}
	ct timeout short {
		protocol udp; l3proto ip
		policy = { unreplied : 7, replied : 100 }
	}
	ct timeout tcpshort {
		protocol tcp; l3proto ip
		policy = { syn_sent : 11, established : 1234 }
	}
	chain est { counter name vmap_est; }
	chain fresh_flow { counter name vmap_new; }
	chain pre {
		type filter hook prerouting priority filter
		udp dport 700 ct timeout set "short"
		tcp dport 701 ct timeout set "tcpshort"
		udp dport 702 ct event set new
	}
	chain forward {
		type filter hook forward priority filter
		ct direction original counter name original
		ct direction reply counter name reply
		ct status seen-reply counter name seen
		ct status ! seen-reply counter name unseen
		ct status assured counter name assured
		ct status confirmed counter name confirmed
		ct status & (seen-reply | confirmed) == (seen-reply | confirmed) counter name status_mask
		ct mark 5 counter name mark5
		ct mark & 0xf0 == 0x30 counter name mark_masked
		ct label 3 counter name label
		ct zone 0 counter name zone
		ct expiration < 40s counter name fresh
		ct expiration >= 40s counter name old
		ct original ip saddr 10.0.1.2 counter name saddr
		ct original ip6 daddr 2001:db8:2::2 counter name daddr6
		ct original proto-dst 5002 counter name protodst
		ct reply ip saddr 10.0.2.2 counter name reply_saddr
		ct original l3proto ipv4 counter name l3ip
		ct original protocol udp counter name proto
		ct original bytes > 50 counter name bytes_orig
		ct bytes > 150 counter name bytes_many
		ct reply packets >= 2 counter name pkts_reply
		ct packets >= 4 counter name pkts_both
		ct original avgpkt > 25 counter name avgpkt
		ct state != { established, related } counter name notstate
		ct state vmap { established : jump est, new : jump fresh_flow }
		udp dport 601 ct mark set 0x35
		udp dport 602 ct label set 3
		udp dport 603 ct mark set meta mark map { 0 : 5 }
		udp dport 604 meta mark set ct mark
		ct state new udp dport 605 ct count over 2 counter name many drop
	}
}
END
seen() { counts "$R" | tr ' ' '\n' | grep -v '=0$' | sort | paste -sd' '; }
get() { packets "$R" "$1"; }

# A UDP exchange of two packets each way: what each rule counted.
for family in 4 6; do
	[ $family = 4 ] && { c=10.0.1.2 s=10.0.2.2; } || { c=2001:db8:1::2 s=2001:db8:2::2; }
	flush "$R"
	zero "$R"
	say udp a "$C" $c 5001
	say udp b "$S" $s 5002
	for round in 1 2; do
		say udp-to a $s 5002
		agent recv b >/dev/null
		say udp-to b $c 5001
		agent recv a >/dev/null
	done
	say close a
	say close b
	fact "IPv$family exchange: $(seen)"
	is "IPv$family ct direction" "2 2" "$(get original) $(get reply)"
	is "IPv$family ct status seen-reply" "3 1" "$(get seen) $(get unseen)"
	is "IPv$family ct status confirmed: not in the first packet" 3 "$(get confirmed)"
	is "IPv$family ct state vmap" "3 1 1" "$(get vmap_est) $(get vmap_new) $(get notstate)"
	is "IPv$family ct original proto-dst, protocol" "4 4" "$(get protodst) $(get proto)"
	is "IPv$family ct zone 0" 4 "$(get zone)"
	is "IPv$family ct reply packets" 1 "$(get pkts_reply)"
	is "IPv$family ct packets" 1 "$(get pkts_both)"
	if [ $family = 4 ]; then
		is "ct original ip saddr, reply ip saddr" "4 4 0" "$(get saddr) $(get reply_saddr) $(get daddr6)"
		is "ct original l3proto" 4 "$(get l3ip)"
	else
		is "ct original ip6 daddr" "0 0 4" "$(get saddr) $(get reply_saddr) $(get daddr6)"
	fi
done

u4="src=10.0.1.9 dst=10.0.2.9"
reply() { right udp src=10.0.2.9 dst=10.0.1.9 "sport=$1" "dport=$2"; }

# ct mark: set by a rule, read by the next packet, seen by the tool.
flush "$R"
zero "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=601
reply 601 1
is "ct mark set, then matched with a mask" "1 0" "$(get mark_masked) $(get mark5)"
like "ct mark set is what the tool shows" 'mark=53' "$(entry "$R" -p udp)"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=603
is "ct mark set from a map" 0 "$(get mark5)"
reply 603 1
is "ct mark from a map matches" 1 "$(get mark5)"

# ct label.
flush "$R"
zero "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=602
reply 602 1
is "ct label set and matched" 1 "$(get label)"
fact "$(entries "$R" -p udp -o labels)"

# ct expiration.
flush "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=5
# Before it is confirmed, an entry has no date to compare with.
zero "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=5
is "ct expiration of a flow of 30 s" "1 0" "$(get fresh) $(get old)"
in_ns "$R" conntrack -U -p udp --timeout 1000 >/dev/null 2>&1
zero "$R"
reply 5 1
fact "ct expiration after --timeout 1000: fresh=$(get fresh) old=$(get old)"

# ct timeout objects.
flush "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=700
within "ct timeout: unreplied UDP" 1 7 "$(timeout_of "$R" -p udp)"
reply 700 1
within "ct timeout: replied UDP keeps it until the flow is a stream" 1 7 "$(timeout_of "$R" -p udp)"
# shellcheck disable=SC2086
{
	left tcp $u4 sport=5 dport=701 flags=S seq=1 win=1000
	within "ct timeout: TCP SYN_SENT" 1 11 "$(timeout_of "$R" -p tcp)"
	right tcp src=10.0.2.9 dst=10.0.1.9 sport=701 dport=5 flags=SA seq=1 ack=2 win=1000
	within "ct timeout: TCP SYN_RECV is the default's" 40 60 "$(timeout_of "$R" -p tcp)"
	left tcp $u4 sport=5 dport=701 flags=A seq=2 ack=2 win=1000
	within "ct timeout: TCP established" 1200 1234 "$(timeout_of "$R" -p tcp)"
	left tcp $u4 sport=6 dport=702 flags=S seq=1 win=1000
	within "without ct timeout" 100 120 "$(timeout_of "$R" -p tcp --sport 6)"
}
like "the timeout object is listed" 'unreplied : 7s' "$(in_ns "$R" nft list ct timeout inet t short)"
refused "an object in use cannot go" in_ns "$R" nft delete ct timeout inet t short

# ct bytes, packets, avgpkt.
flush "$R"
zero "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=5 len=100
is "ct original bytes: counted before the rules" 1 "$(get bytes_orig)"
is "ct bytes" 0 "$(get bytes_many)"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=5 len=100
is "ct bytes after the second" 1 "$(get bytes_many)"
is "ct original avgpkt" 2 "$(get avgpkt)"
like "the tool shows packets and bytes" 'packets=2 bytes=256 \[UNREPLIED\].*packets=0 bytes=0' "$(entry "$R" -p udp)"

# ct count.
flush "$R"
zero "$R"
for n in 1 2 3 4 5; do
	# shellcheck disable=SC2086
	left udp $u4 sport=$n dport=605
done
is "ct count over 2 drops the rest" 3 "$(get many)"
is "ct count: two entries" 2 "$(size "$R")"
in_ns "$R" conntrack -D -p udp --sport 1 >/dev/null 2>&1
# shellcheck disable=SC2086
left udp $u4 sport=9 dport=605
is "ct count: a deleted flow makes room" "3 2" "$(get many) $(size "$R")"

# ct event set: only the chosen kinds are sent.
flush "$R"
events_start "$R" -p udp
# shellcheck disable=SC2086
{
	left udp $u4 sport=1 dport=702
	right udp src=10.0.2.9 dst=10.0.1.9 sport=702 dport=1
	left udp $u4 sport=1 dport=703
	right udp src=10.0.2.9 dst=10.0.1.9 sport=703 dport=1
}
poll 5 events_have 'UPDATE.*dport=703'
events_stop
is "ct event set new: NEW, no UPDATE" 1 "$(grep -c dport=702 "$tmp/events")"
is "others send both" 2 "$(grep -c 'udp.*src=10.0.1.9.*dport=703' "$tmp/events")"

# The rule set as listed is the one that was loaded.
in_ns "$R" nft -s list chain inet t forward | grep ' ct ' | fact

# Rules that go take their hold on conntrack along; with none left, nothing is tracked.
in_ns "$R" nft flush ruleset
flush "$R"
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=5
is "without ct rules nothing is tracked" 0 "$(size "$R")"
in_ns "$R" nft add table inet u
in_ns "$R" nft 'add chain inet u f { type filter hook forward priority 0 ; }'
in_ns "$R" nft 'add rule inet u f ct state new'
# shellcheck disable=SC2086
left udp $u4 sport=1 dport=5
is "with one again it is" 1 "$(size "$R")"
in_ns "$R" nft delete table inet u
in_ns "$R" nft -f - <<'END'
table ip v {
	chain f {
		type filter hook forward priority 0
		ct state new
	}
}
END
flush "$R"
# shellcheck disable=SC2086
{
	left udp $u4 sport=1 dport=5
	left udp src=2001:db8:1::9 dst=2001:db8:2::9 sport=1 dport=5
}
is "a rule for IPv4 tracks IPv4 only" "1 0" "$(entries "$R" -f ipv4 | wc -l) $(entries "$R" -f ipv6 | wc -l)"
