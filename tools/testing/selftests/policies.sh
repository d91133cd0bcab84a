#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max.
# Soft timeouts and scaling: of the namespace, by protocol and state, and of timeout
# policies (ctpolicy); who wins (Documentation/timeouts.rst, a check for each line);
# mainline's tools are not disturbed.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/testing/selftests/xtables.sh
. "$here/xtables.sh"
need nft nfct conntrack iptables python3

keep_limits
router
agent_start
# So that the router tracks.
in_ns "$R" nft 'add table inet base; add chain inet base f { type filter hook forward priority 0; }; add rule inet base f ct state new counter'
policy() { in_ns "$R" "$here/../../ctpolicy" "$@"; }
nfct_get() { in_ns "$R" nfct get timeout "$1" | tr -s ' \t\n' ' '; }

# --- with mainline's module nothing of it works, and nothing is done by halves

if [ ! -e /proc/sys/net/netfilter/nf_conntrack_tcp_soft_timeout_established ]; then
	ok "ctpolicy sets mainline's timeouts on any kernel" policy add plain inet tcp established 1000
	like "and shows them" '^plain inet tcp .*established 1000 .*unacknowledged 300$' "$(policy get plain)"
	refused "ctpolicy: soft timeouts want our module" policy add own inet tcp established 1000 soft established 60
	like "ctpolicy says so" 'knows neither soft timeouts nor scaling' "$(cat "$tmp/out")"
	refused "ctpolicy: so does scaling" policy replace plain inet tcp established 7 adaptive 60 120
	is "nothing was left, nothing changed" "plain 1000" "$(policy list | sed -E 's/ .* established ([0-9]+) .*/ \1/')"
	exit
fi

# --- policies and the tools that make them

families="inet inet6"
[ "${SLOW:-1}" -lt 6 ] || families=inet
for family in $families; do
	ok "$family: nfct makes a policy" in_ns "$R" nfct add timeout theirs $family tcp established 1000 close 5
	ok "$family: ctpolicy makes a policy with everything" policy add ours $family tcp established 1000 close 5 \
		soft established 60 soft close_wait 20 soft retrans never adaptive 60 120
	is "$family: nfct shows the same of both" "$(nfct_get theirs | sed 's/theirs/ours/')" "$(nfct_get ours)"
	like "$family: ctpolicy shows the rest" "^ours $family tcp syn_sent 120 .* unacknowledged 300 soft established 60 soft close_wait 20 soft retrans never adaptive 60 120\$" \
		"$(policy get ours)"
	like "$family: of nfct's there is no more" "^theirs $family tcp .* unacknowledged 300\$" "$(policy get theirs)"
	is "$family: nfct lists both" 2 "$(in_ns "$R" nfct list timeout | grep -c "^\.")"
	policy list >"$tmp/list"
	is "$family: what is listed can be given to add" ok "$(
		policy delete ours && policy delete theirs &&
			while read -r line; do
				# shellcheck disable=SC2086
				policy add $line || exit
			done <"$tmp/list"
		policy list | diff - "$tmp/list" && echo ok
	)"
	refused "$family: a name is there once" policy add ours $family tcp established 7
	ok "$family: replacing takes what is not given from the namespace" policy replace ours $family tcp soft established 30
	like "$family: it did" "^ours $family tcp .* established 432000 .* unacknowledged 300 soft established 30\$" "$(policy get ours)"
	refused "$family: a policy of another protocol cannot take its place" policy replace ours $family udp replied 5
	ok "$family: nfct deletes both" in_ns "$R" sh -c 'nfct delete timeout ours && nfct delete timeout theirs'
	is "$family: there is none" "" "$(policy list)"
done
for line in "udp replied 100 soft replied 50 adaptive off" "sctp established 100 soft established never" \
	"gre replied 100 soft replied 7" "icmp timeout 5 adaptive 1 1000" "icmpv6 timeout 5 adaptive 99 100"; do
	# shellcheck disable=SC2086
	ok "ctpolicy add p inet $line" policy add p inet $line
	like "it is as given" " ${line#* * * }\$" "$(policy get p)"
	policy delete p
done

# bad WORDS LINE...: refused before the kernel is asked, with these words.
bad() {
	local words=$1
	shift
	[ "${SLOW:-1}" -lt 6 ] || return 0
	refused "ctpolicy refuses $*" policy add p inet "$@"
	like "and says why" "$words" "$(cat "$tmp/out")"
}
bad "soft timeouts of tcp are for" tcp soft syn_sent 5
bad "soft timeouts of icmp are for nothing" icmp soft timeout 5
bad "begins above 0 percent" tcp adaptive 120 60
bad "begins above 0 percent" tcp adaptive 60 60
bad "from 0 to 1000" tcp adaptive 60 1001
bad "missing after '60'" tcp adaptive 60
bad "given twice" tcp soft established 5 soft established 6
bad "has to be a number" tcp soft established soon
bad "has no state 'idle'" tcp idle 5
bad "seconds are too many" tcp soft established 2147483647
is "nothing of it was made" "" "$(policy list)"

# raw FLAGS DATA...: a policy p with these attributes in its data (number=hex), as it
# stands in no tool; what the kernel says.
raw() {
	in_ns "$R" python3 - "$here/../../ctpolicy" "$@" <<'END'
import importlib.machinery, importlib.util, os, sys
loader = importlib.machinery.SourceFileLoader("ctpolicy", sys.argv[1])
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ctpolicy", loader))
sys.dont_write_bytecode = True
loader.exec_module(module)
command, protocol = int(sys.argv[2]), int(sys.argv[3])
data = b"".join(module.attribute(int(n, 0), bytes.fromhex(x)) for n, x in (word.split("=") for word in sys.argv[4:]))
parts = [module.attribute(1, b"p\0")] if command == 0 else []
parts += [module.attribute(2, b"\0\x02"), module.attribute(3, bytes([protocol])), module.attribute(4 | module.NESTED, data)]
try:
    module.Kernel().ask(command, module.ACK | module.CREATE | module.REPLACE, b"".join(parts))
    print("taken")
except OSError as err:
    print(module.errno.errorcode[err.errno])
END
}
policy add p inet tcp established 5 soft established 6 adaptive 7 8
before=$(policy get p)
is "a soft timeout for a state without" ENOTSUP "$(raw 0 6 0x41=00000005)"
is "one that does not fit" EINVAL "$(raw 0 6 0x43=7fffffff)"
is "two bytes" ERANGE "$(raw 0 6 0x43=0005)"
is "half of a span" EINVAL "$(raw 0 6 0x60=0000003c)"
is "its other half" EINVAL "$(raw 0 6 0x61=0000003c)"
is "a span that ends where it begins" EINVAL "$(raw 0 6 0x60=0000003c 0x61=0000003c)"
is "a span beyond 1000" EINVAL "$(raw 0 6 0x60=00000001 0x61=000003e9)"
is "a span of one byte" ERANGE "$(raw 0 6 0x60=01 0x61=00000005)"
is "none of them changed the policy" "$before" "$(policy get p)"
is "numbers that nobody knows are passed over" taken "$(raw 0 6 0x50=00000001 0x62=00 0x3fff=00)"
policy delete p
is "the namespace's are for sysctls" ENOTSUP "$(raw 3 6 0x43=00000005)"
is "so is its span" ENOTSUP "$(raw 3 6 0x60=00000001 0x61=00000005)"
is "its timeouts are set as ever" "taken 4321" "$(raw 3 6 3=000010e1) $(in_ns "$R" cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established)"
raw 3 6 3=00069780 >/dev/null
like "and shown without more" 'ESTABLISHED = 432000' "$(in_ns "$R" nfct default-get timeout inet tcp 2>&1 | tr -s ' \n' ' '; in_ns "$R" nfct get timeout default inet tcp 2>&1 || echo 'ESTABLISHED = 432000 (no such command here)')"

# nft's own policies go through the same functions.
in_ns "$R" nft -f - <<'END'
table inet t {
	ct timeout quick {
		protocol udp
		l3proto ip
		policy = { unreplied : 7s, replied : 9s }
	}
}
END
like "nft's policies are shown as ever" 'policy = \{ unreplied : 7s, replied : 9s \}' "$(in_ns "$R" nft list ct timeout inet t quick | tr -s '\t\n ' ' ')"
in_ns "$R" nft delete table inet t

# --- the sysctls

sys() { setctl "$R" "net.netfilter.nf_conntrack_$1=$2"; }
for key in gre_soft_timeout_stream sctp_soft_timeout_established udp_soft_timeout_stream \
	tcp_soft_timeout_{close_wait,established,fin_wait,max_retrans,unacknowledged}; do
	file=/proc/sys/net/netfilter/nf_conntrack_$key
	is "$key: off at first" 0 "$(in_ns "$R" cat $file)"
	in_ns "$R" sh -c "echo 77 >$file"
	refused "$key: no negative" in_ns "$R" sh -c "echo -1 >$file"
	refused "$key: none that does not fit" in_ns "$R" sh -c "echo 2147483647 >$file"
	refused "$key: no words" in_ns "$R" sh -c "echo never >$file"
	is "$key: bad values change nothing, other namespaces have their own" "77 0" "$(in_ns "$R" cat $file) $(in_ns "$C" cat $file)"
	sys $key 0
done

# --- a full table: who goes, but for fair shares: all that comes is of few sources

sys fair 0
small_table 64
# Timeouts that are long beside what a slow machine takes; the fillers live for 600 s.
for key in udp_timeout_stream tcp_timeout_fin_wait tcp_timeout_close_wait tcp_timeout_unacknowledged \
	tcp_timeout_max_retrans sctp_timeout_established; do sys $key 600; done
insert() { in_ns "$R" conntrack -I "$@" >/dev/null 2>"$tmp/err" || fail "conntrack -I $*: $(cat "$tmp/err")"; }
udp() { # SECONDS PORT [ARG...]: an assured flow that has so many seconds left of 600.
	insert -p udp -s 192.0.3.1 -d 192.0.3.2 --sport "$2" --dport 53 -t "$1" -u SEEN_REPLY,ASSURED "${@:3}"
}
tcp() { # SECONDS PORT STATE
	insert -p tcp -s 192.0.3.1 -d 192.0.3.2 --sport "$2" --dport 80 -t "$1" --state "$3" -u SEEN_REPLY,ASSURED
}
# The fillers are from 192.0.2.1.
there() { { entry "$R" -f ipv4 -p "$1" --sport "$2" && entry "$R" -f ipv6 -p "$1" --sport "$2"; } | grep -v 'src=192.0.2.1 ' | grep -q "sport=$2 "; }
gone() { ! there "$@"; }
# The rest of the table is as alive as can be.
fill() { in_ns "$R" python3 "$here/churn.py" insert 0 $((64 - $(size "$R"))); }
# walks: how often the worker has written down who may go.
walks() { in_ns "$R" awk '$1 == "walks" { print $2 }' /proc/net/nf_conntrack_reclaim; }
walked() { [ "$(walks)" -gt "$1" ]; }
port=20000
press() {
	port=$((port + 1))
	left udp src=10.0.1.9 dst=10.0.2.9 sport=$port dport=9
}
pressed_out() { press && gone "$@"; }
# goes DESCRIPTION PROTO PORT, stays DESCRIPTION PROTO PORT: while the table is full.
goes() {
	fill
	ok "$1: goes" poll 10 pressed_out "$2" "$3"
	flush "$R"
}
stays() {
	local i refused_before
	fill
	refused_before=$(stat_sum "$R" drop)
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		press
		sleep 0.05
	done
	ok "$1: stays" there "$2" "$3"
	within "$1: the others were refused" 12 12 $(($(stat_sum "$R" drop) - refused_before))
	flush "$R"
}

udp 300 1
stays "UDP, idle for 300 s, no soft timeout" udp 1
sys udp_soft_timeout_stream 250
udp 300 1
goes "UDP, idle for 300 s, soft timeout 250" udp 1
sys udp_soft_timeout_stream 450
udp 300 1
stays "UDP, idle for 300 s, soft timeout 450" udp 1
sys udp_soft_timeout_stream 250
udp 200 1
udp 100 2
before=$(walks)
fill
# Before that, a packet takes the first that it finds.
ok "the worker writes down who is idle" poll 15 walked "$before"
ok "the longest idle goes first" poll 10 pressed_out udp 2
ok "the other is still there" there udp 1
flush "$R"
sys udp_soft_timeout_stream 0

tcp 431000 1 ESTABLISHED
stays "TCP, idle for 1000 s, no soft timeout" tcp 1
sys tcp_soft_timeout_established 900
tcp 431000 1 ESTABLISHED
goes "TCP, idle for 1000 s, soft timeout 900" tcp 1
sys tcp_soft_timeout_established 1100
tcp 431000 1 ESTABLISHED
stays "TCP, idle for 1000 s, soft timeout 1100" tcp 1
sys tcp_soft_timeout_established 0
for state in FIN_WAIT CLOSE_WAIT; do
	key=tcp_soft_timeout_${state,,}
	tcp 590 1 $state
	goes "TCP in $state, no soft timeout" tcp 1
	sys "$key" 450
	tcp 300 1 $state
	stays "TCP in $state, idle for 300 s, soft timeout 450" tcp 1
	sys "$key" 250
	tcp 300 1 $state
	goes "TCP in $state, idle for 300 s, soft timeout 250" tcp 1
	sys "$key" 0
done
tcp 110 1 TIME_WAIT
goes "TCP in TIME_WAIT" tcp 1

# Data without an acknowledgement, then again and again; 300 s ago.
for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9; } || { l=2001:db8:1::9 h=2001:db8:2::9; }
	[ "${SLOW:-1}" -lt 6 ] || [ $family = 4 ] || continue
	data() {
		local n
		left tcp src=$l dst=$h sport=1 dport=2 win=10000 flags=S seq=1
		right tcp src=$h dst=$l sport=2 dport=1 win=10000 flags=SA seq=1 ack=2
		left tcp src=$l dst=$h sport=1 dport=2 win=10000 flags=A seq=2 ack=2
		for ((n = 0; n < $1; n++)); do left tcp src=$l dst=$h sport=1 dport=2 win=10000 flags=A seq=2 ack=2 len=100; done
		in_ns "$R" conntrack -U -f ipv$family -p tcp --sport 1 -t 300 >/dev/null 2>&1
	}
	data 1
	stays "IPv$family data unacknowledged for 300 s, no soft timeout" tcp 1
	sys tcp_soft_timeout_established 1000
	sys tcp_soft_timeout_unacknowledged 250
	data 1
	goes "IPv$family data unacknowledged for 300 s, soft timeout 250" tcp 1
	sys tcp_soft_timeout_unacknowledged 0
	sys tcp_soft_timeout_established 250
	data 1
	goes "IPv$family data unacknowledged for 300 s, soft timeout of the established 250" tcp 1
	sys tcp_soft_timeout_established 1000
	data 6
	stays "IPv$family data sent again, no soft timeout" tcp 1
	sys tcp_soft_timeout_max_retrans 250
	data 6
	goes "IPv$family data sent again, 300 s ago, soft timeout 250" tcp 1
	sys tcp_soft_timeout_max_retrans 0
	sys tcp_soft_timeout_established 0
done

insert -p sctp -s 192.0.3.1 -d 192.0.3.2 --sport 1 --dport 2 -t 300 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 -u SEEN_REPLY,ASSURED
stays "SCTP, idle for 300 s, no soft timeout" sctp 1
sys sctp_soft_timeout_established 250
insert -p sctp -s 192.0.3.1 -d 192.0.3.2 --sport 1 --dport 2 -t 300 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 -u SEEN_REPLY,ASSURED
goes "SCTP, idle for 300 s, soft timeout 250" sctp 1
sys sctp_soft_timeout_established 0

# --- a policy that is attached wins over the namespace

# attached LINE: a UDP flow with port 1 and this policy, assured, 300 s idle of 600.
attached() {
	# shellcheck disable=SC2086
	policy replace mine inet udp unreplied 30 replied 600 $1
	left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=7
	in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -u SEEN_REPLY,ASSURED >/dev/null 2>&1
	in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -t 300 >/dev/null 2>&1
	like "it is assured" ASSURED "$(entry "$R" -p udp -s 10.0.1.9 --sport 1)"
}
policy add mine inet udp unreplied 30 replied 600
ipt=iptables-nft
has $ipt raw || ipt=iptables-legacy
in_ns "$R" $ipt -t raw -A PREROUTING -p udp --dport 7 -j CT --timeout mine
attached "soft replied 250"
goes "the policy's soft timeout 250, the namespace's is none" udp 1
sys udp_soft_timeout_stream 250
attached "soft replied never"
stays "the policy says never, the namespace 250" udp 1
attached "soft replied 450"
stays "the policy says 450, the namespace 250" udp 1
attached ""
goes "the policy says nothing, the namespace 250" udp 1
policy replace mine inet udp unreplied 30 replied 330
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=7
in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -u SEEN_REPLY,ASSURED >/dev/null 2>&1
in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -t 300 >/dev/null 2>&1
stays "idle time is told by the policy's own timeout: 30 s of 330" udp 1
attached "soft replied never"
policy replace mine inet udp unreplied 30 replied 600 soft replied 250
sys udp_soft_timeout_stream 0
goes "a policy that is replaced counts for flows that have it" udp 1

# The paper's rule: only while the table is full enough.
if (need_cttable) >/dev/null 2>&1; then
	need_cttable
	in_ns "$R" $ipt -t raw -F
	in_ns "$R" $ipt -t raw -A PREROUTING -p udp --dport 7 -m cttable --table-above 75 -j CT --timeout mine
	left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=7
	in_ns "$R" python3 "$here/churn.py" insert 0 50
	left udp src=10.0.1.9 dst=10.0.2.9 sport=2 dport=7
	for p in 1 2; do
		in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport $p -u SEEN_REPLY,ASSURED >/dev/null 2>&1
		in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport $p -t 300 >/dev/null 2>&1
	done
	in_ns "$R" python3 "$here/churn.py" insert 100 $((64 - $(size "$R")))
	ok "a flow that began above 75 percent has the policy, and goes" poll 10 pressed_out udp 2
	ok "one that began below does not, and stays" there udp 1
	flush "$R"
else
	skip "a policy above 75 percent" "no xt_cttable here"
fi

# --- entries whose deadline packets do not move

sys udp_soft_timeout_stream 250
udp 300 1 -u FIXED_TIMEOUT,SEEN_REPLY,ASSURED
stays "a fixed timeout wins over soft timeouts" udp 1
sys udp_soft_timeout_stream 0

# --- scaling

# In a table of 64 with 48 entries, 75 percent, 60:120 leaves 3/4 of a timeout: 450 s of 600.
fill48() { in_ns "$R" python3 "$here/churn.py" insert 0 $((48 - $(size "$R"))); }
scaled_away() { press && in_ns "$R" conntrack -D -p udp --dport 9 >/dev/null 2>&1 && gone "$@"; }
lives() { # DESCRIPTION PROTO PORT
	local i
	fill48
	for i in 1 2 3 4 5 6 7 8 9 10; do
		! scaled_away "$2" "$3" || break
		sleep 0.1
	done
	ok "$1: lives" there "$2" "$3"
	flush "$R"
}
dies() {
	fill48
	ok "$1: its time is over" poll 10 scaled_away "$2" "$3"
	flush "$R"
}
udp 100 1
lives "no scaling, idle for 500 s of 600" udp 1
sys adaptive_end 120
sys adaptive_start 60
udp 100 1
dies "scaled to 450 s, idle for 500" udp 1
udp 300 1
lives "scaled to 450 s, idle for 300" udp 1
udp 100 1 -u FIXED_TIMEOUT,SEEN_REPLY,ASSURED
lives "a fixed timeout is not scaled" udp 1
in_ns "$R" $ipt -t raw -F
in_ns "$R" $ipt -t raw -A PREROUTING -p udp --dport 7 -j CT --timeout mine
attached "adaptive off"
in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -t 100 >/dev/null 2>&1
lives "a policy that is not to be scaled wins over the namespace" udp 1
attached "adaptive 90 200"
in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -t 100 >/dev/null 2>&1
lives "so does one that is scaled from 90 percent on" udp 1
attached ""
in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -t 100 >/dev/null 2>&1
dies "a policy that says nothing is scaled as the namespace is" udp 1
sys adaptive_start 0
attached "adaptive 60 120"
in_ns "$R" conntrack -U -p udp -s 10.0.1.9 --sport 1 -t 100 >/dev/null 2>&1
udp 100 2
fill48
ok "a policy is scaled in a namespace that is not" poll 10 scaled_away udp 1
ok "what does not have it is not" there udp 2
flush "$R"
sys adaptive_end 0

# --- what a flow table carries

in_ns "$R" $ipt -t raw -F
in_ns "$R" nft -f - <<'END'
table inet t {
	flowtable f {
		hook ingress priority 0
		devices = { r1, r2 }
	}
	chain forward {
		type filter hook forward priority filter
		udp dport 4000 flow add @f
	}
}
END
if modprobe -q nf_flow_table && in_ns "$R" nft list flowtables | grep -q r1; then
	carried() {
		left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=4000
		right udp src=10.0.2.9 dst=10.0.1.9 sport=4000 dport=1
		left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=4000
		entry "$R" -p udp -s 10.0.1.9 --sport 1 | grep -q OFFLOAD
	}
	ok "a flow table carries a flow" poll 10 carried
	sys udp_soft_timeout_stream 1
	sys adaptive_end 110
	sys adaptive_start 1
	fill
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		press
		sleep 0.1
	done
	ok "what a flow table carries is neither idle nor scaled" there udp 1
	sys adaptive_start 0
	sys adaptive_end 0
	sys udp_soft_timeout_stream 0
else
	skip "what a flow table carries" "no flow tables here"
fi
in_ns "$R" nft delete table inet t
flush "$R"

gone_policies() { policy delete mine; }
ok "a policy that nobody uses goes" poll 10 gone_policies
