#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A helper in user space: conntrackd's FTP through nfnetlink_cthelper and a queue.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack conntrackd nfct

router
cat >"$tmp/conf" <<END
Helper {
	Type ftp inet tcp {
		QueueNum 0
		QueueLen 10240
		Policy ftp {
			ExpectMax 1
			ExpectTimeout 300
		}
	}
}
General {
	LockFile $tmp/lock
	UNIX {
		Path $tmp/ctl
	}
}
END
rmmod nf_nat_ftp nf_conntrack_ftp 2>/dev/null
ok "nfct add helper" in_ns "$R" nfct add helper ftp inet tcp
ip netns exec "$R" conntrackd -C "$tmp/conf" >"$tmp/daemon" 2>&1 &
pids+=($!)
ok "conntrackd as a helper" poll 10 test -S "$tmp/ctl"
diag <"$tmp/daemon"
fact <<<"$(in_ns "$R" nfct list helper 2>&1)"
serve "$S" ftp 10.0.2.2 21
ok "rules" in_ns "$R" iptables-restore <<'END'
*raw
-A PREROUTING -p tcp --dport 21 -j CT --helper ftp
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT
-A FORWARD -i r1 -p tcp --dport 21 -j ACCEPT
COMMIT
END
for mode in passive active; do
	client "FTP $mode" 'stored 226 same' "$C" ftp 10.0.2.2 $mode
	table "$mode" "$R" -f ipv4 -p tcp
	flush "$R"
done
in_ns "$R" iptables -t raw -F
in_ns "$R" iptables -F
said=$(in_ns "$R" nfct delete helper ftp 2>&1)
fact "delete: $said"
