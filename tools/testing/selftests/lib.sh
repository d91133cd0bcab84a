# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What every selftest sources: results as KTAP, network namespaces, an agent that
# sends and receives, polling. Nothing here sleeps for a fixed time.
#
# A test says what it saw in two ways. `ok`, `is`, `like` and `check` judge: one
# KTAP line each. `fact` only records: the runner compares the facts of mainline's
# module with those of ours on the same kernel, so a fact must not depend on time,
# chance or addresses in memory.

set -u
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
name=$(basename "$0" .sh)
tmp=$(mktemp -d "/tmp/$name.XXXXXX")
tests=0 failed=0 spaces=() pids=()

# shellcheck disable=SC2034 # the namespaces of `router`, for the tests
C=$name-c R=$name-r S=$name-s

# --- results

diag() { sed 's/^/# /'; }

result() { # WORD DESCRIPTION [DIRECTIVE]
	tests=$((tests + 1))
	[ "$1" = ok ] || failed=$((failed + 1))
	printf '%s %d - %s%s\n' "$1" "$tests" "$2" "${3:+ # $3}"
}

pass() { result ok "$1"; }
fail() { result 'not ok' "$1"; }
skip() { result ok "$1" "SKIP $2"; }

# skip_all WHY: nothing of the test can run here.
skip_all() {
	echo "1..0 # SKIP $1"
	exit 4
}

# ok DESCRIPTION COMMAND...: passes if COMMAND does; shows what it said if not.
ok() {
	local what=$1 said
	shift
	if said=$("$@" 2>&1); then
		pass "$what"
	else
		fail "$what"
		printf 'failed: %s\n%s\n' "$*" "$said" | diag
		[ ! -s "$tmp/err" ] || diag <"$tmp/err"
	fi
}

# refused DESCRIPTION COMMAND...: passes if COMMAND fails.
refused() {
	local what=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then
		fail "$what"
		printf 'went through: %s\n' "$*" | diag
	else
		pass "$what"
	fi
}

# is DESCRIPTION WANTED GOT
is() {
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1"
		printf 'wanted: %s\ngot:    %s\n' "$2" "$3" | diag
	fi
}

# like DESCRIPTION REGEX TEXT: REGEX (extended) matches a line of TEXT.
like() {
	if grep -Eq -- "$2" <<<"$3"; then
		pass "$1"
	else
		fail "$1"
		printf 'wanted: /%s/\ngot:    %s\n' "$2" "$3" | diag
	fi
}

unlike() {
	if grep -Eq -- "$2" <<<"$3"; then
		fail "$1"
		printf 'not wanted: /%s/\ngot:        %s\n' "$2" "$3" | diag
	else
		pass "$1"
	fi
}

# within DESCRIPTION LOW HIGH NUMBER
within() {
	if [ -n "$4" ] && [ "$4" -ge "$2" ] && [ "$4" -le "$3" ]; then
		pass "$1"
	else
		fail "$1"
		printf 'wanted: %s..%s\ngot:    %s\n' "$2" "$3" "$4" | diag
	fi
}

# fact TEXT...: recorded, to be the same with both modules. Also reads stdin if
# there are no arguments.
fact() {
	if [ $# -gt 0 ]; then printf '%s\n' "$*"; else cat; fi | sed 's/^/# fact: /'
}

# poll SECONDS COMMAND...: until COMMAND succeeds, or SECONDS are over. Slow
# machines set SLOW to a factor.
poll() {
	local end=$((SECONDS + $1 * ${SLOW:-1}))
	shift
	while ! "$@" >"$tmp/poll" 2>&1; do
		[ "$SECONDS" -le "$end" ] || return 1
		sleep 0.05
	done
}

need() {
	local tool
	for tool; do command -v "$tool" >/dev/null || skip_all "no $tool here"; done
}

# --- the limits of the table, which all namespaces share

# keep_limits: sets `max` and `buckets`, their files; they are as they were when the
# test ends.
keep_limits() {
	max=/proc/sys/net/netfilter/nf_conntrack_max
	buckets=/proc/sys/net/netfilter/nf_conntrack_buckets
	[ -w $max ] || skip_all "not in the initial namespace"
	kept_max=$(<$max) kept_buckets=$(<$buckets)
}

# small_table MAX: a table that is soon full, with few buckets, so that a search of
# eight of them sees enough entries.
small_table() {
	echo 512 >$buckets
	echo "$1" >$max
}

# --- ends

cleanup() {
	local rc=$? pid ns
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	[ -z "${AGENT_PID:-}" ] || kill "$AGENT_PID" 2>/dev/null
	wait 2>/dev/null
	! declare -F restore >/dev/null || restore
	[ -z "${kept_max:-}" ] || {
		echo "$kept_buckets" >$buckets
		echo "$kept_max" >$max
	}
	for ns in "${spaces[@]}"; do ip netns del "$ns" 2>/dev/null; done
	rm -rf "$tmp"
	[ "$rc" -ne 4 ] || exit 4
	[ "$tests" -gt 0 ] || { result 'not ok' "$name ran no test"; }
	echo "1..$tests"
	echo "# $((tests - failed)) of $tests passed"
	[ "$rc" -eq 0 ] && [ "$failed" -eq 0 ]
	exit
}

# background COMMAND...: ended at the latest by the clean-up.
background() {
	"$@" &
	pids+=($!)
}

# shellcheck source=tools/testing/selftests/net.sh
. "$here/net.sh"

# --- looking at conntrack

# entries NS [ARG...]: the table, sorted, less what time changes (timeouts, use).
entries() {
	local ns=$1
	shift
	in_ns "$ns" conntrack -L "$@" 2>/dev/null | plain
}

plain_events() { sed -E "s/ id=[0-9]{6,}//g; s/ (use|portid|progname)=[^ ]+//g; s/  +/ /g; s/ +$//"; }

plain() {
	sed -E 's/^((ipv[46] +[0-9]+ )?[a-z0-9]+ +[0-9]+) [0-9]+ /\1 /; s/ use=[0-9]+//; s/ id=[0-9]{6,}//; s/ +$//; s/  +/ /g' | sort
}

# entry NS ARG...: the one entry that conntrack -L ARG... lists, as it is.
entry() {
	local ns=$1
	shift
	in_ns "$ns" conntrack -L "$@" 2>/dev/null
}

# timeout_of NS ARG...: seconds that the first entry has left.
timeout_of() { entry "$@" | sed -nE '1s/^[a-z0-9]+ +[0-9]+ ([0-9]+) .*/\1/p'; }

size() { in_ns "$1" conntrack -C 2>/dev/null; }

empty() { [ "$(size "$1")" = 0 ]; }

flush() { in_ns "$1" conntrack -F >/dev/null 2>&1; }

# counts NS: every named counter as name=packets, in one line.
counts() {
	in_ns "$1" nft list counters 2>/dev/null |
		awk '/counter / { n = $2 } /packets/ { printf "%s%s=%s", s, n, $2; s = " " } END { print "" }'
}

# packets NS COUNTER: packets that the named counter has seen.
packets() { counts "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; }

zero() { in_ns "$1" nft reset counters >/dev/null; }

# stat NS COLUMN: the sum over the CPUs of a column of /proc/net/stat/nf_conntrack.
stat_sum() {
	in_ns "$1" awk -v col="$2" '
		function hex(s, i, n) { n = 0; for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return n }
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == col) c = i; next }
		{ sum += hex($c) }
		END { print sum + 0 }' /proc/net/stat/nf_conntrack
}

# mark_log / new_log: what the kernel said since the last mark.
mark_log() {
	log_mark="$name-mark-$RANDOM-$SECONDS"
	echo "$log_mark" >/dev/kmsg
}
new_log() { dmesg | sed "1,/$log_mark/d"; }

# --- events

listening() { # NS: somebody there listens to netfilter's multicasts
	in_ns "$1" awk '$2 == 12 && $4 != "00000000" { found = 1 } END { exit !found }' /proc/net/netlink
}

# events_start NS [ARG...]: conntrack -E there, into $tmp/events.
events_start() {
	local ns=$1
	shift
	: >"$tmp/events"
	ip netns exec "$ns" conntrack -E -o id,timestamp "$@" >"$tmp/events" 2>"$tmp/events.err" &
	events_pid=$!
	pids+=("$events_pid")
	poll 10 listening "$ns" || fail "conntrack -E does not listen"
}

events_stop() {
	kill -INT "$events_pid" 2>/dev/null
	wait "$events_pid" 2>/dev/null
}

# events_have REGEX: such an event has come.
events_have() { grep -Eq -- "$1" "$tmp/events"; }

# A netlink client needs nf_conntrack_netlink; rules need their modules. The kernel
# loads most of them itself when asked.
modprobe -qa nf_conntrack nf_conntrack_netlink 2>/dev/null

trap cleanup EXIT
trap 'exit 1' INT TERM
echo "TAP version 13"
