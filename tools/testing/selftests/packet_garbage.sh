#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Truncated and corrupt headers of every protocol over IPv4 and IPv6: the state that
# the rules see for each is recorded (to be mainline's); nothing crashes, nothing of
# it disturbs a good connection. NOISE=N sends N random packets of each family.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
patient "$R"

# Each state has a set of the packets' numbers.
rules() {
	local s
	echo "table inet t {"
	for s in new established related invalid untracked; do
		echo "set ${s}4 { typeof ip id; size 65535; flags dynamic; }"
		echo "set ${s}6 { typeof ip6 flowlabel; size 65535; flags dynamic; }"
	done
	echo "chain pre { type filter hook prerouting priority filter"
	for s in new established related invalid untracked; do
		echo "meta iifname r1 ct state $s add @${s}4 { ip id }"
		echo "meta iifname r1 ct state $s add @${s}6 { ip6 flowlabel }"
	done
	printf "}\n}\n"
}
rules | in_ns "$R" nft -f - || fail "the rule set loads"

numbers() { # SET: its numbers
	in_ns "$R" nft list set inet t "$1" | tr -d '\n\t' | sed -n 's/.*elements = {\([^}]*\)}.*/\1/p' | tr -s ', ' '\n' | grep .
}

# A connection that must survive all of it.
say tcp-listen l "$S" 10.0.2.2 80
say tcp-connect a "$C" 10.0.2.2 80 sport=40000
say accept b l

for family in 4 6; do
	for part in tcp udp icmp others ip "noise ${SEED:-1} ${NOISE:-1000}"; do
		for s in new established related invalid untracked; do
			in_ns "$R" nft flush set inet t $s$family
		done
		# shellcheck disable=SC2086
		if ! python3 "$here/packet_garbage.py" "$C" c0 "$(mac 1 1)" $family $part >"$tmp/sent" 2>"$tmp/err"; then
			fail "IPv$family ${part%% *}: packets are sent"
			diag <"$tmp/err"
			continue
		fi
		for s in new established related invalid untracked; do
			numbers $s$family | sed 's/\(.*\)/\1 '$s'/'
		done | python3 -c '
import sys
state = {}
for line in sys.stdin:
    number, name = line.split()
    state.setdefault(int(number, 0), []).append(name)
for line in open(sys.argv[1]):
    number, label = line.rstrip("\n").split(" ", 1)
    print(label + ":", "+".join(state.get(int(number), ["not seen"])))
' "$tmp/sent" >"$tmp/states"
		n=$(grep -cv 'not seen' "$tmp/states")
		ok "IPv$family ${part%% *}: $(wc -l <"$tmp/sent") packets, $n seen by the rules" test "$n" -gt 5
		sed "s/^/IPv$family /" "$tmp/states" | fact
		fact "IPv$family ${part%% *}: entries $(entries "$R" | wc -l)"
		in_ns "$R" conntrack -D -s "$([ $family = 4 ] && echo 10.0.1.9 || echo 2001:db8:1::9)" >/dev/null 2>&1
	done
done
ok "the good connection goes on" agent exchange a b 100000
like "and is what it was" 'ESTABLISHED .*ASSURED' "$(entry "$R" -p tcp -s 10.0.1.2)"
flush "$R"
is "nothing stays" 0 "$(size "$R")"
