#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Connection tracking outside the hooks, by tc's action `ct`: a helper and what it
# expects, with and without commit; fragments; packets with padding.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need tc conntrack python3

mark_log
router
agent_start
modprobe -qa act_ct cls_flower sch_ingress nf_conntrack_ftp 2>/dev/null
tc_() { in_ns "$R" tc "$@"; }
if ! tc_ qdisc add dev r1 clsact 2>"$tmp/err" || ! tc_ filter add dev r1 ingress chain 99 proto ip flower action ct 2>"$tmp/err"; then
	skip "action ct" "$(head -1 "$tmp/err")"
	exit
fi
tc_ qdisc add dev r2 clsact

ask() {
	local dev
	for dev in r1 r2; do
		tc_ filter add dev $dev ingress chain 0 prio 9 proto ip flower ct_state -trk action ct pipe action goto chain 1
	done
}

# Ask in chain 0; commit what may begin in chain 1, with the helper for port 21.
for dev in r1 r2; do
	tc_ filter add dev $dev ingress chain 1 prio 1 proto ip flower ct_state +trk+est action pass
	tc_ filter add dev $dev ingress chain 1 prio 2 proto ip flower ct_state +trk+rel action ct commit pipe action pass
	tc_ filter add dev $dev ingress chain 1 prio 3 proto ip flower ip_proto tcp dst_port 21 ct_state +trk+new \
		action ct commit helper ipv4-tcp-ftp pipe action pass
	tc_ filter add dev $dev ingress chain 1 prio 4 proto ip flower ip_proto tcp dst_port 80 ct_state +trk+new action ct commit pipe action pass
	tc_ filter add dev $dev ingress chain 1 prio 5 proto ip flower ip_proto icmp ct_state +trk+new action ct commit pipe action pass
	tc_ filter add dev $dev ingress chain 1 prio 6 proto ip flower ct_state +trk action drop
done
ask
expected() { in_ns "$R" sed -E 's/^[0-9]+ //' /proc/net/nf_conntrack_expect | sort; }
line() { say send-quoted "$1" "${2// /%20}%0d%0a"; }

say tcp-listen listener "$S" 10.0.2.2 21
say tcp-connect a "$C" 10.0.2.2 21 sport=20001
say accept b listener
line b "220 hello"
say recv-quoted a
line a "USER me"
say recv-quoted b
line b '227 Entering Passive Mode (10,0,2,2,156,64)'
say recv-quoted a
like "helper: expects the data connection" "dport=40000 ftp" "$(expected)"
fact <<<"$(expected)"
say tcp-listen d "$S" 10.0.2.2 40000
say tcp-connect e "$C" 10.0.2.2 40000 sport=20002
say accept f d
say exchange e f 100000
pass "helper: the data connection is let in"
# Chain 0 has asked about it before chain 1 commits it.
is "helper: whoever asks first does not use it up" 1 "$(expected | wc -l)"
refused "nothing else is let in" agent tcp-connect g "$C" 10.0.2.2 40001 wait=1
fact "$(entries "$R" -p tcp)"
for x in a b d e f listener; do say close $x; done

# Whoever only asks does not use an expectation up.
in_ns "$R" conntrack -F >"$tmp/out" 2>&1
say tcp-listen listener "$S" 10.0.2.2 21
say tcp-connect a "$C" 10.0.2.2 21 sport=20003
say accept b listener
line b "220 hello"
say recv-quoted a
line b '227 Entering Passive Mode (10,0,2,2,156,66)'
say recv-quoted a
is "asking: expected" 1 "$(expected | wc -l)"
for dev in r1 r2; do tc_ filter del dev $dev ingress chain 1 prio 2; done
say tcp-listen d "$S" 10.0.2.2 40002
refused "asking: the connection is not let in" agent tcp-connect e "$C" 10.0.2.2 40002 wait=1
is "asking: still expected" 1 "$(expected | wc -l)"
# Whoever commits at once does.
for dev in r1 r2; do tc_ filter del dev $dev ingress chain 0 prio 9; done
tc_ filter add dev r1 ingress chain 0 prio 1 proto ip flower ip_proto tcp dst_port 40002 action ct commit pipe action pass
say tcp-connect e "$C" 10.0.2.2 40002 sport=20004
is "committing: used up" "" "$(expected)"
say close e
fact <<<"$(expected)"
for x in a b d listener; do say close $x; done

tc_ filter del dev r1 ingress chain 0 prio 1
ask

# Fragments are put together, and cut again on their way out.
ok "fragments: a large echo comes back" in_ns "$C" ping -c 2 -W 5 -s 4000 -i 0.2 10.0.2.2
is "fragments: one connection" 1 "$(entries "$R" -p icmp | wc -l)"
in_ns "$R" conntrack -F >"$tmp/out" 2>&1

# A short frame is padded by the link layer; the length is IP's.
say udp u "$S" 10.0.2.2 5000
left hex hex=4500001c00010000401163cd0a0001020a00020200358913000800000000000000000000000000000000
say close u
like "the log is quiet" "^$" "$(new_log | grep -iE "BUG|WARN" | head -1)"
