#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The conntrack tool: -L -G -E -D -F -I -U -C -S, filters and output forms, over
# IPv4 and IPv6.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
patient "$R"
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	counter tracked {}
	chain forward {
		type filter hook forward priority filter
		ct state established counter name tracked
	}
}
END
ct() { in_ns "$R" conntrack "$@" 2>"$tmp/err"; }

for family in 4 6; do
	if [ $family = 4 ]; then
		c=10.0.1.2 s=10.0.2.2 l=10.0.1.9 h=10.0.2.9 f=ipv4 x=10.9.9.1 y=10.9.9.2 icmp=icmp
	else
		c=2001:db8:1::2 s=2001:db8:2::2 l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6 x=2001:db8:9::1 y=2001:db8:9::2 icmp=icmpv6
	fi
	flush "$R"
	is "IPv$family -C of an empty table" 0 "$(ct -C)"

	# Three flows, seen by -L in every way.
	say tcp-listen l "$S" $s 80
	say tcp-connect a "$C" $s 80 sport=40001
	say accept b l
	left udp src=$l dst=$h sport=53 dport=5353
	left udp src=$l dst=$h sport=54 dport=5353
	is "IPv$family -C counts" 3 "$(ct -C)"
	is "IPv$family -L lists all" 3 "$(ct -L -f $f | wc -l)"
	like "IPv$family -L says how many" '3 flow entries have been shown' "$(cat "$tmp/err")"
	is "IPv$family -L -p tcp" 1 "$(ct -L -f $f -p tcp | wc -l)"
	is "IPv$family -L -p udp --sport" 1 "$(ct -L -f $f -p udp --sport 54 | wc -l)"
	is "IPv$family -L -s" 2 "$(ct -L -f $f -s $l | wc -l)"
	is "IPv$family -L -r" 2 "$(ct -L -f $f -r $h | wc -l)"
	is "IPv$family -L --state" 1 "$(ct -L -f $f -p tcp --state ESTABLISHED | wc -l)"
	is "IPv$family -L -u ASSURED" 1 "$(ct -L -f $f -u ASSURED | wc -l)"
	is "IPv$family -L -u UNREPLIED" 2 "$(ct -L -f $f -u UNREPLIED | wc -l)"
	like "IPv$family -L -o id,ktimestamp" 'id=[0-9]+' "$(ct -L -f $f -o id,ktimestamp)"
	like "IPv$family -L -o xml" '<flow>.*<layer4 protonum="6" protoname="tcp">' "$(ct -L -f $f -o xml)"
	like "IPv$family -L -o extended names the family" "^$f +[0-9]+ +tcp +6" "$(ct -L -f $f -o extended)"
	like "IPv$family -L -o save gives commands" "^-A -t|^-A " "$(ct -L -f $f -o save)"
	fact "$(entries "$R" -f $f)"
	is "IPv$family the same id twice" "$(ct -L -f $f -o id | sed 's/.*id=//' | sort)" "$(ct -L -f $f -o id | sed 's/.*id=//' | sort)"
	like "IPv$family -G finds" "sport=40001" "$(ct -G -p tcp -s $c -d $s --sport 40001 --dport 80)"
	refused "IPv$family -G of nothing" ct -G -p tcp -s $c -d $s --sport 40002 --dport 80
	like "IPv$family -G of nothing says so" 'such conntrack doesn' "$(cat "$tmp/err")"

	# -U: mark and timeout; the connection goes on.
	ok "IPv$family -U --mark" ct -U -f $f -p tcp --mark 7
	is "IPv$family -L -m finds the mark" 1 "$(ct -L -f $f -m 7 | wc -l)"
	ok "IPv$family -U --mark with a mask" ct -U -f $f -p tcp --mark 0x100/0xff00
	like "IPv$family mask keeps the other bits" 'mark=263' "$(ct -L -f $f -p tcp)"
	ok "IPv$family -U --timeout" ct -U -f $f -p tcp --timeout 1000
	within "IPv$family the new timeout" 950 1000 "$(timeout_of "$R" -f $f -p tcp)"
	ok "IPv$family -U --status on a UDP flow" ct -U -f $f -p udp --sport 53 -u ASSURED,SEEN_REPLY
	like "IPv$family the new status" ASSURED "$(ct -L -f $f -p udp --sport 53)"
	refused "IPv$family -U of nothing" ct -U -f $f -p tcp -s $c -d $s --sport 40002 --dport 80 --mark 1
	zero "$R"
	say exchange a b 1000
	ok "IPv$family the connection survives" test "$(packets "$R" tracked)" -gt 0

	# -I: an entry by hand, used by packets at once.
	ok "IPv$family -I tcp" ct -I -p tcp -s $l -d $h --sport 1234 --dport 80 --state ESTABLISHED -u SEEN_REPLY,ASSURED --timeout 500
	like "IPv$family -I tcp is there" "ESTABLISHED src=$l dst=$h sport=1234 dport=80 src=$h dst=$l sport=80 dport=1234 \[ASSURED\]" \
		"$(ct -L -f $f -p tcp --sport 1234)"
	refused "IPv$family -I twice" ct -I -p tcp -s $l -d $h --sport 1234 --dport 80 --state ESTABLISHED --timeout 500
	like "IPv$family -I twice says exists" 'exists' "$(cat "$tmp/err")"
	ok "IPv$family -I udp" ct -I -p udp -s $l -d $h --sport 99 --dport 100 --timeout 60 --mark 5
	zero "$R"
	right udp src=$h dst=$l sport=100 dport=99
	is "IPv$family an answer fits the entry by hand" 1 "$(packets "$R" tracked)"
	unlike "IPv$family and is noted there" UNREPLIED "$(ct -L -f $f -p udp --sport 99)"
	ok "IPv$family -I $icmp" ct -I -p $icmp -s $x -d $y --$icmp-type "$([ $family = 4 ] && echo 8 || echo 128)" --$icmp-code 0 --$icmp-id 5 --timeout 50
	ok "IPv$family -I sctp" ct -I -p sctp -s $x -d $y --sport 1 --dport 2 --state ESTABLISHED --orig-vtag 10 --reply-vtag 11 --timeout 50
	ok "IPv$family -I gre" ct -I -p gre -s $x -d $y --srckey 1 --dstkey 2 --timeout 50
	refused "IPv$family -I without addresses" ct -I -p udp --sport 1 --dport 2 --timeout 60
	fact "$(entries "$R" -f $f)"

	# -D: by filter, all that match.
	ok "IPv$family -D one" ct -D -f $f -p udp --sport 99
	like "IPv$family -D says how many" '1 flow entries have been deleted' "$(cat "$tmp/err")"
	refused "IPv$family -D of nothing" ct -D -f $f -p udp --sport 99
	left udp src=$l dst=$h sport=55 dport=5353
	ok "IPv$family -D by mark" ct -D -f $f -m 263
	is "IPv$family -D by port deletes all" 3 "$(ct -D -f $f -p udp --dport 5353 | wc -l)"

	# A deleted TCP connection goes on: picked up in the middle.
	say exchange a b 1000
	like "IPv$family deleted connection is picked up again" "ESTABLISHED src=$c" "$(ct -L -f $f -p tcp --dport 80)"
	say close a
	say close b
	say close l

	# -F.
	ok "IPv$family -F" ct -F
	is "IPv$family -C after -F" 0 "$(ct -C)"
	for n in 1 2 3; do left udp src=$l dst=$h sport=$n dport=1; done
	ok "IPv$family -D of a family flushes it" ct -D -f $f
	is "IPv$family -C after -D -f" 0 "$(ct -C)"
done

# One family leaves the other alone.
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=1
left udp src=2001:db8:1::9 dst=2001:db8:2::9 sport=1 dport=1
is "-L -f ipv4 with both" 1 "$(ct -L -f ipv4 | wc -l)"
is "-L -f ipv6 with both" 1 "$(ct -L -f ipv6 | wc -l)"
ok "-F -f ipv6" ct -F -f ipv6
fact "after -F -f ipv6: $(ct -C)"
flush "$R"

# -S: counters by CPU.
cpus=$(ct -S | grep -c '^cpu=')
is "-S has a line for each CPU" "$(nproc --all)" "$cpus"
like "-S names its counters" 'found=[0-9]+ invalid=[0-9]+ insert=[0-9]+ insert_failed=[0-9]+ drop=[0-9]+ early_drop=[0-9]+ error=[0-9]+ search_restart=[0-9]+ clash_resolve=[0-9]+ chaintoolong=[0-9]+' "$(ct -S)"
invalid() { ct -S | sed -nE 's/.* invalid=([0-9]+).*/\1/p' | awk '{ n += $1 } END { print n }'; }
before=$(invalid)
left tcp src=10.0.1.9 dst=10.0.2.9 flags=SF
is "-S counts an invalid packet" $((before + 1)) "$(invalid)"
errors() { ct -S | sed -nE 's/.* error=([0-9]+).*/\1/p' | awk '{ n += $1 } END { print n }'; }
before=$(errors)
right icmp src=10.0.2.9 dst=10.0.1.9 type=3 code=1 inner=udp/src=10.0.1.9/dst=10.0.2.9/sport=9/dport=10
fact "errors counted for an ICMP error about nothing: $(($(errors) - before))"
like "-C with a limit in the kernel's words" '^[0-9]+$' "$(ct -C)"

# -E: the life of a flow, in order.
for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9 f=ipv4 c=10.0.1.2 s=10.0.2.2; } ||
		{ l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6 c=2001:db8:1::2 s=2001:db8:2::2; }
	flush "$R"
	events_start "$R" -f $f
	say tcp-listen l "$S" $s 80
	say tcp-connect a "$C" $s 80 sport=42000
	say accept b l
	say exchange a b 10
	say close a
	say close b
	say close l
	left udp src=$l dst=$h sport=7 dport=8
	ct -U -f $f -p udp --mark 3 >/dev/null
	ct -D -f $f -p udp >/dev/null
	ok "IPv$family -E: the last event comes" poll 5 events_have 'DESTROY.*udp'
	ok "IPv$family -E: TIME_WAIT comes" poll 5 events_have 'UPDATE.*TIME_WAIT'
	events_stop
	seen=$(sed -E 's/^\[[0-9.]+[ \t]*\]//; s/^[ \t]*\[([A-Z]+)\] ([a-z]+) +[0-9]+( [0-9]+)?/\1 \2/' "$tmp/events" | plain_events)
	like "IPv$family -E: NEW of the connection" "NEW tcp SYN_SENT.*sport=42000.*UNREPLIED" "$seen"
	is "IPv$family -E: its states in order" "SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT LAST_ACK TIME_WAIT" \
		"$(grep -o 'tcp [A-Z_]*' <<<"$seen" | cut -d' ' -f2 | grep -v CLOSE_WAIT | uniq | paste -sd' ')"
	like "IPv$family -E: UPDATE by -U" "UPDATE udp.*mark=3" "$seen"
	like "IPv$family -E: DESTROY by -D" "DESTROY udp.*sport=7" "$seen"
	fact "$(grep udp <<<"$seen")"
done
flush "$R"
events_start "$R" -e DESTROY -p udp
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=8
left tcp src=10.0.1.9 dst=10.0.2.9
flush "$R"
ok "-E -e DESTROY -p udp: comes" poll 5 events_have DESTROY
events_stop
is "-E -e DESTROY -p udp: nothing else" 1 "$(wc -l <"$tmp/events")"

# Expectations: -L, -C, -F, -I of that table.
is "expectations: none" "" "$(ct -L expect)"
ok "expectations: -C" ct -C expect
ok "expectations: -F" ct -F expect
