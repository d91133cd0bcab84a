# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Networks of namespaces and an agent that sends and receives in them. Wants from
# who sources it: $here (where agent.py is), $tmp, `fail` and `diag`, the arrays
# `spaces` and `pids`, and the names $C, $R, $S of client, router, server.

space() {
	local ns
	for ns; do
		ip netns del "$ns" 2>/dev/null
		ip netns add "$ns"
		spaces+=("$ns")
		ip -n "$ns" link set lo up
	done
}

in_ns() { ip netns exec "$@"; }

setctl() { # NS KEY=VALUE...
	local ns=$1
	shift
	in_ns "$ns" sysctl -qw "$@"
}

# patient NS: no entry there ends by itself before ten minutes, so that what is
# there does not depend on how long the test takes.
patient() {
	local timeout
	for timeout in $(in_ns "$1" sysctl -aN -r '^net\.netfilter\.nf_conntrack_.*timeout'); do
		[ "$(in_ns "$1" sysctl -n "$timeout")" -ge 600 ] || setctl "$1" "$timeout=600"
	done
}

# Both ends of a link have fixed addresses, so that packets can be put on the wire
# without ARP; no duplicate address detection, so that they work at once.
mac() { printf '02:00:00:00:%02x:%02x' "$1" "$2"; }

# link NS1 DEV1 NS2 DEV2 NET: NS1 is .1, NS2 is .2 of 10.0.NET/24 and 2001:db8:NET::/64.
link() {
	ip -n "$1" link add "$2" address "$(mac "$5" 1)" type veth \
		peer name "$4" netns "$3" address "$(mac "$5" 2)"
	ip -n "$1" addr add "10.0.$5.1/24" dev "$2"
	ip -n "$3" addr add "10.0.$5.2/24" dev "$4"
	ip -n "$1" addr add "2001:db8:$5::1/64" dev "$2" nodad
	ip -n "$3" addr add "2001:db8:$5::2/64" dev "$4" nodad
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}

# pair: $C (10.0.1.2) and $R (10.0.1.1), one link.
pair() {
	space "$C" "$R"
	link "$R" r1 "$C" c0 1
}

# router: $C (10.0.1.2, 2001:db8:1::2) - $R - $S (10.0.2.2, 2001:db8:2::2).
# Hosts .9 and .10 on both sides exist for the router only: what it sends them is
# lost silently, which is what packets from `left` and `right` want.
router() {
	local net host dev
	space "$C" "$R" "$S"
	link "$R" r1 "$C" c0 1
	link "$R" r2 "$S" s0 2
	ip -n "$C" route add default via 10.0.1.1
	ip -n "$C" route add default via 2001:db8:1::1
	ip -n "$S" route add default via 10.0.2.1
	ip -n "$S" route add default via 2001:db8:2::1
	setctl "$R" net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	setctl "$S" net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	for net in 1 2; do
		dev=r$net
		for host in 9 10; do
			ip -n "$R" neigh add "10.0.$net.$host" lladdr "$(mac $net 2)" dev $dev
			ip -n "$R" neigh add "2001:db8:$net::$host" lladdr "$(mac $net 2)" dev $dev
		done
	done
}

# --- the agent: sockets and packets in any namespace, one process for all of it

agent_start() {
	# shellcheck disable=SC2034 # coproc names its array
	coproc AGENT { exec python3 "$here/agent.py" 2>"$tmp/agent.err"; }
	exec {agent_in}<&"${AGENT[0]}" {agent_out}>&"${AGENT[1]}"
}

# agent COMMAND...: prints what the agent answers; fails if it answers `error ...`.
agent() {
	local reply
	printf '%s\n' "$*" >&"$agent_out"
	if ! IFS= read -r -t $((20 * ${SLOW:-1})) reply <&"$agent_in"; then
		echo "agent: no answer to: $*"
		cat "$tmp/agent.err"
		return 1
	fi
	case $reply in
	ok) ;;
	ok\ *) printf '%s\n' "${reply#ok }" ;;
	*)
		printf 'agent: %s: %s\n' "$*" "$reply"
		return 1
		;;
	esac
}

# say COMMAND...: an agent command that has to work.
say() {
	agent "$@" >"$tmp/say" || {
		fail "agent: $*"
		diag <"$tmp/say"
	}
}

# left PROTO KEY=VALUE...: a packet onto the client's side wire; right: the server's.
left() { say inject "$C" c0 "$(mac 1 1)" "$@"; }
right() { say inject "$S" s0 "$(mac 2 1)" "$@"; }
