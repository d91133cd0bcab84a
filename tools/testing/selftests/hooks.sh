#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Who wants connections tracked, and where: hooks come and go with rules, for IPv4,
# IPv6 and bridges; the size of the table by module parameter; where a translated
# connection was going; connections go with their namespace.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start

# hooks NS: conntrack's there, by family and hook.
hooks() { in_ns "$1" nft list hooks 2>/dev/null | grep -E 'family|hook |conntrack_(in|local)|nf_confirm' | grep -E -B2 'conntrack|confirm' | grep -v '^--' | sed -E 's/\{//; s/^[ \t]+//' | grep -vE '^$'; }
tracked() { in_ns "$1" cat /proc/net/nf_conntrack | grep -c "dport=$2"; }
send() { # FAMILY PORT: one packet from C to S
	if [ "$1" = 4 ]; then left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport="$2"; else
		left udp src=2001:db8:1::9 dst=2001:db8:2::9 sport=1 dport="$2"; fi
}
rule() { in_ns "$R" nft -f -; }

is "no rules, no hooks" "" "$(hooks "$R")"
send 4 1000
is "no rules, no connections" 0 "$(tracked "$R" 1000)"

# A family each.
rule <<'RULES'
table ip a { chain c { type filter hook forward priority 0; ct state invalid drop; }; }
RULES
hooks "$R" >"$tmp/hooks"
fact <"$tmp/hooks"
is "IPv4: four hooks" 4 "$(grep -c nf_conntrack "$tmp/hooks")"
like "IPv4: names and priorities as ever" '-0*200 ipv4_conntrack_in \[nf_conntrack\]' "$(cat "$tmp/hooks")"
send 4 1001
send 6 1001
is "a rule for IPv4 tracks IPv4" 1 "$(tracked "$R" 1001)"
rule <<'RULES'
table ip6 b { chain c { type filter hook forward priority 0; ct state invalid drop; }; }
RULES
hooks "$R" >"$tmp/hooks"
fact <"$tmp/hooks"
is "IPv4 and IPv6: eight hooks" 8 "$(grep -c nf_conntrack "$tmp/hooks")"
send 6 1002
is "a rule for IPv6 tracks IPv6" 1 "$(tracked "$R" 1002)"
rule <<'RULES'
table inet d { chain c { type filter hook forward priority 0; ct state invalid drop; ct state new accept; }; }
RULES
is "further rules add no hooks" 8 "$(hooks "$R" | grep -c nf_conntrack)"
in_ns "$R" nft delete table ip a
is "hooks stay while one rule wants them" 8 "$(hooks "$R" | grep -c nf_conntrack)"
in_ns "$R" nft delete table ip6 b
in_ns "$R" nft delete table inet d
is "the last rule takes them away" "" "$(hooks "$R")"
send 4 1003
is "and nothing is tracked any more" 0 "$(tracked "$R" 1003)"
like "what was tracked stays" 'dport=1001' "$(in_ns "$R" cat /proc/net/nf_conntrack)"
is "another namespace never had any" "" "$(hooks "$S")"

# While nobody looks a TCP connection goes on; who looks again takes its windows
# from what it sees.
watch='table ip w { counter invalid {}; counter seen {}
	chain c { type filter hook forward priority 0; tcp dport 7 ct state invalid counter name invalid; tcp dport 7 ct state established counter name seen; }; }'
rule <<<"$watch"
flush "$R"
segment() { left tcp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=7 "$@"; }
answer() { right tcp src=10.0.2.9 dst=10.0.1.9 sport=7 dport=1 "$@"; }
segment flags=S seq=1 win=1000
answer flags=SA seq=1 ack=2 win=1000
segment flags=A seq=2 ack=2 win=1000
segment flags=A seq=9000000 ack=2 win=1000
fact "far out of the window: $(counts "$R")"
like "data far out of the window is invalid" 'invalid=1' "$(counts "$R")"
in_ns "$R" nft delete table ip w
rule <<<"$watch"
segment flags=A seq=9000000 ack=2 win=1000
fact "the same after a pause: $(counts "$R")"
like "after a pause of the hooks it is not" 'seen=1' "$(counts "$R")"
unlike "and not invalid" 'invalid=[1-9]' "$(counts "$R")"
in_ns "$R" nft delete table ip w

# Bridges have a module of their own, which is held while it is used.
space hooks-b
users() { awk '$1 == "nf_conntrack_bridge" { print $3 }' /proc/modules; }
if in_ns hooks-b nft -f - 2>"$tmp/err" <<'RULES'; then
table bridge b { chain c { type filter hook forward priority 0; ct state invalid drop; }; }
RULES
	is "a bridge's rule holds the module" 1 "$(users)"
	in_ns hooks-b nft add table bridge b2
	in_ns hooks-b nft 'add chain bridge b2 c { type filter hook forward priority 0; }'
	in_ns hooks-b nft 'add rule bridge b2 c ct state new'
	is "each rule does" 2 "$(users)"
	hooks hooks-b >"$tmp/hooks"
	fact <"$tmp/hooks"
	in_ns hooks-b nft flush ruleset
	# A worker frees the rules.
	ok "and no rule none" poll 10 eval '[ "$(users)" = 0 ]'
	ok "hooks are gone" poll 10 eval '[ -z "$(hooks hooks-b)" ]'
	ok "the module can be unloaded" modprobe -r nf_conntrack_bridge
	ok "and is loaded again when it is wanted" in_ns hooks-b nft -f - <<'RULES'
table bridge b { chain c { type filter hook forward priority 0; ct state invalid drop; }; }
RULES
	is "held again" 1 "$(users)"
	ip netns del hooks-b
	unused() { [ "$(users)" = 0 ]; }
	poll 20 unused
	is "a namespace's end lets go of it" 0 "$(users)"
else
	skip "bridges" "$(head -n1 "$tmp/err")"
fi

# Where a connection was going before it was translated.
original='
import errno, socket, struct, sys
family, address, level, size, port = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
af = socket.AF_INET if family == "4" else socket.AF_INET6
def ask(s, size):
    try:
        return s.getsockopt(level, 80, size)
    except OSError as err:
        return errno.errorcode[err.errno]
def show(raw):
    if isinstance(raw, str):
        return raw
    port, = struct.unpack(">H", raw[2:4])
    at, end, rest = (4, 8, raw[8:16]) if family == "4" else (8, 24, raw[4:8] + raw[24:28])
    host = socket.inet_ntop(af, raw[at:end])
    return f"{host} {port}, {len(raw)} bytes, rest {rest.hex()}"
print("not connected:", show(ask(socket.socket(af, socket.SOCK_STREAM), size)))
print("datagrams:", show(ask(socket.socket(af, socket.SOCK_DGRAM), size)))
listener = socket.create_server((address, port), family=af)
print("ready", flush=True)
s, peer = listener.accept()
print("accepted:", show(ask(s, size)))
print("more room:", show(ask(s, size + 20)))
print("too little room:", show(ask(s, size - 1)), show(ask(s, 0)))
'
in_ns "$S" nft -f - <<'RULES'
table inet n { chain c { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :8080; }; }
RULES
for family in 4 6; do
	if [ $family = 4 ]; then to=10.0.2.2 level=0 size=16 any=0.0.0.0; else to=2001:db8:2::2 level=41 size=28 any=::; fi
	rm -f "$tmp/original"
	# Not through in_ns: what is killed has to be the server itself, or it keeps its namespace.
	ip netns exec "$S" python3 -c "$original" "$family" "$any" "$level" "$size" 8080 >"$tmp/original" 2>&1 &
	pids+=($!)
	poll 20 grep -q ready "$tmp/original"
	in_ns "$C" python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], 80), 10).recv(1)' "$to" 2>"$tmp/err" || {
		tail -n 1 "$tmp/err" | diag
		in_ns "$S" conntrack -L -f "ipv$family" 2>&1 | diag
	}
	poll 20 grep -q 'too little' "$tmp/original"
	fact <"$tmp/original"
	like "IPv$family: the original destination" "^accepted: $to 80, $size bytes" "$(cat "$tmp/original")"
	like "IPv$family: no connection" '^not connected: ENOENT' "$(cat "$tmp/original")"
	like "IPv$family: not for datagrams" '^datagrams: ENOPROTOOPT' "$(cat "$tmp/original")"
	like "IPv$family: too little room" '^too little room: EINVAL EINVAL' "$(cat "$tmp/original")"
done

# The size of the table, as a module parameter.
size_file=/sys/module/nf_conntrack/parameters/hashsize
if [ -w $size_file ]; then
	old=$(cat $size_file)
	restore() { echo "$old" >$size_file; }
	echo 2048 >$size_file
	is "hashsize: taken" 2048 "$(cat $size_file)"
	is "hashsize: the sysctl says the same" 2048 "$(cat /proc/sys/net/netfilter/nf_conntrack_buckets)"
	for bad in 0 -1 abc 4294967296 4294967295; do
		fact "hashsize $bad: $( (echo "$bad" >$size_file) 2>&1 | sed 's/.*: //')"
		is "hashsize: $bad changes nothing" 2048 "$(cat $size_file)"
	done
	refused "hashsize: not from another namespace" ip netns exec "$R" bash -c 'echo 4096 >/sys/module/nf_conntrack/parameters/hashsize'
	is "and stays" 2048 "$(cat $size_file)"
	restore
	is "parameters: modes" "expect_hashsize 400 hashsize 600" "$(cd /sys/module/nf_conntrack/parameters && stat -c '%n %a' expect_hashsize hashsize | paste -sd' ')"
	is "parameters: which" "acct expect_hashsize hashsize tstamp" "$(cd /sys/module/nf_conntrack/parameters && echo *)"
else
	skip "the size of the table" "not in the initial namespace"
fi

# Namespaces end with connections in them, and take them along.
for i in 1 2 3; do
	space "hooks-e$i"
	in_ns "hooks-e$i" nft -f - <<'RULES'
table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }
RULES
	in_ns "hooks-e$i" python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(2000, 2100):
    s.sendto(b"x", ("127.0.0.1", port))'
done
is "a namespace that ends has connections" 100 "$(in_ns hooks-e1 cat /proc/sys/net/netfilter/nf_conntrack_count)"
for i in 1 2 3; do ip netns del "hooks-e$i"; done
like "their end does not hang" '^[0-9]+' "$(timeout 60 ip netns add hooks-f && ip netns exec hooks-f cat /proc/sys/net/netfilter/nf_conntrack_count; ip netns del hooks-f)"
