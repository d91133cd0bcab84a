#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Events: which changes are reported, the nf_conntrack_events sysctl, and events of
# a listener that is too slow: destroy events are kept and sent again until they
# have been delivered.

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
		udp dport 20 ct mark set 1
		udp dport 21 ct label set 2
		udp dport 22 ct mark set 0
	}
}
END
u="src=10.0.1.9 dst=10.0.2.9"
seen() { sed -E 's/^\[[0-9.]+[ \t]*\]//; s/^[ \t]*\[([A-Z]+)\] ([a-z]+) +([0-9]+)( [0-9]+)?/\1 \2/' "$tmp/events" | plain_events; }

# Each kind of change, over both protocols that have states.
events_start "$R"
# shellcheck disable=SC2086
{
	left udp $u sport=1 dport=20
	left udp $u sport=1 dport=20
	right udp src=10.0.2.9 dst=10.0.1.9 sport=20 dport=1
	left udp $u sport=2 dport=21
	left udp $u sport=3 dport=22
	left udp $u sport=3 dport=22
	left tcp $u sport=5 dport=80 flags=S seq=1 win=1000
	left tcp $u sport=5 dport=80 flags=S seq=1 win=1000
	right tcp src=10.0.2.9 dst=10.0.1.9 sport=80 dport=5 flags=SA seq=1 ack=2 win=1000
	left tcp $u sport=5 dport=80 flags=A seq=2 ack=2 win=1000
	left tcp $u sport=5 dport=80 flags=A seq=2 ack=2 len=10 win=1000
	right tcp src=10.0.2.9 dst=10.0.1.9 sport=80 dport=5 flags=R seq=2
	left icmp $u id=9
	right icmp src=10.0.2.9 dst=10.0.1.9 type=0 id=9
}
in_ns "$R" conntrack -U -p udp --sport 3 --mark 9 >/dev/null 2>&1
in_ns "$R" conntrack -D -p udp --sport 2 >/dev/null 2>&1
ok "the last event comes" poll 5 events_have 'DESTROY.*dport=21'
events_stop
seen >"$tmp/seen"
fact <"$tmp/seen"
is "UDP: NEW once, one UPDATE for the answer" "NEW UPDATE" "$(grep 'dport=20 ' "$tmp/seen" | cut -d' ' -f1 | paste -sd' ')"
like "the mark is in the event of its packet" '^NEW udp.*dport=20 .*mark=1' "$(cat "$tmp/seen")"
is "TCP: one event for each new state" "SYN_SENT SYN_RECV ESTABLISHED CLOSE" \
	"$(grep -oE '^[A-Z]+ tcp [A-Z_]+' "$tmp/seen" | cut -d' ' -f3 | paste -sd' ')"
like "-U is reported" '^UPDATE udp.*sport=3 .*mark=9' "$(cat "$tmp/seen")"
like "-D is reported" '^DESTROY udp.*dport=21' "$(cat "$tmp/seen")"
flush "$R"

# nf_conntrack_events: 0 off, 1 on, 2 on while somebody listens.
for value in 0 1 2; do
	setctl "$R" net.netfilter.nf_conntrack_events=$value
	flush "$R"
	# shellcheck disable=SC2086
	left udp $u sport=10 dport=30
	events_start "$R"
	# shellcheck disable=SC2086
	{
		left udp $u sport=11 dport=30
		right udp src=10.0.2.9 dst=10.0.1.9 sport=30 dport=11
		right udp src=10.0.2.9 dst=10.0.1.9 sport=30 dport=10
	}
	flush "$R"
	# A change by the tool itself comes last, whatever the sysctl says.
	in_ns "$R" conntrack -I -p udp -s 192.0.2.9 -d 192.0.2.10 --sport 1 --dport 2 --timeout 10 >/dev/null 2>&1
	poll 3 events_have '192.0.2.9' || :
	events_stop
	seen | sort | sed "s/^/events=$value: /" | fact
	case $value in
	0) is "events=0: packets report nothing" 0 "$(seen | grep -c 'dport=30')" ;;
	1) is "events=1: NEW, UPDATE, DESTROY of both" "1 2 2" \
		"$(seen | grep dport=30 | grep -c '^NEW') $(seen | grep dport=30 | grep -c '^UPDATE') $(seen | grep dport=30 | grep -c '^DESTROY')" ;;
	2) is "events=2: those of the flow that began while somebody listened" 3 \
		"$(seen | grep -cE '(sport|dport)=11 ')" ;;
	esac
done

# A listener with a small buffer that demands delivery: every destroy event comes,
# however late, and the table and the memory are free in the end.
flush "$R"
count=${EVENTS:-600}
setctl "$R" net.netfilter.nf_conntrack_events=1
cat >"$tmp/slow.py" <<'END'
import os, socket, struct, sys, time
count, ready = int(sys.argv[1]), sys.argv[2]
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
sock.setsockopt(socket.SOL_SOCKET, 8, 4096)  # SO_RCVBUF
sock.setsockopt(270, 4, struct.pack("i", 1))  # NETLINK_BROADCAST_ERROR: the sender learns of losses
sock.setsockopt(270, 5, struct.pack("i", 1))  # NETLINK_NO_ENOBUFS
sock.bind((0, 0))
sock.setsockopt(270, 1, struct.pack("i", 3))  # NFNLGRP_CONNTRACK_DESTROY
open(ready, "w").close()
while not os.path.exists(ready + ".go"):
    time.sleep(0.05)
sock.settimeout(20)
got = {}
try:
    while len(got) < count:
        data = sock.recv(65536)
        body, at = data[20:], 0
        while at + 4 <= len(body):
            size, kind = struct.unpack("=HH", body[at:at + 4])
            if kind & 0x3FFF == 12:
                ident = body[at + 4:at + size]
                got[ident] = got.get(ident, 0) + 1
            at += (size + 3) & ~3
except TimeoutError:
    pass
print(len(got), max(got.values(), default=0))
END
in_ns "$R" python3 "$tmp/slow.py" "$count" "$tmp/ready" >"$tmp/slow" 2>&1 &
slow=$!
poll 10 test -e "$tmp/ready" || fail "the slow listener is there"
say inject-many "$C" c0 "$(mac 1 1)" "$count"
is "$count flows" "$count" "$(size "$R")"
flush "$R"
is "they are gone from the list at once" 0 "$(entries "$R" | wc -l)"
fact "counted while their events wait: $([ "$(size "$R")" -gt 0 ] && echo some || echo none)"
: >"$tmp/ready.go"
wait $slow
is "every destroy event is delivered, once" "$count 1" "$(cat "$tmp/slow")"
ok "then nothing is left" poll 10 empty "$R"

# A listener that dies without reading: nothing stays for ever.
rm -f "$tmp/ready" "$tmp/ready.go"
in_ns "$R" timeout 60 python3 "$tmp/slow.py" "$count" "$tmp/ready" >"$tmp/slow" 2>&1 &
slow=$!
poll 10 test -e "$tmp/ready"
say inject-many "$C" c0 "$(mac 1 1)" "$count"
flush "$R"
pkill -P $slow 2>/dev/null || kill $slow
wait $slow 2>/dev/null
ok "without a listener the rest goes too" poll 20 empty "$R"

# A namespace that ends while events wait.
rm -f "$tmp/ready" "$tmp/ready.go"
in_ns "$R" timeout 60 python3 "$tmp/slow.py" "$count" "$tmp/ready" >/dev/null 2>&1 &
slow=$!
poll 10 test -e "$tmp/ready"
say inject-many "$C" c0 "$(mac 1 1)" "$count"
flush "$R"
ip netns del "$R"
pkill -P $slow 2>/dev/null || kill $slow 2>/dev/null
wait $slow 2>/dev/null
pass "a namespace ends while events wait"
