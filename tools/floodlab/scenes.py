# SPDX-License-Identifier: GPL-2.0
"""The scenes of the flood lab, all of them, and what each has to show.

The guest plays them, the report judges them; neither knows one by name. Numbers
are those of a table of 65,536; a smaller table scales them. What the commands do
is at the head of ct_flood.c.
"""

from dataclasses import dataclass, field

TABLE = 65_536
#: Established connections that are there before each flood.
LIVE = 10_000


@dataclass(frozen=True)
class Goal:
    """What is measured, and below or at which figure it is good."""

    measure: str
    most: float = 0
    text: str = "0"


@dataclass(frozen=True)
class Scene:
    name: str
    title: str
    #: Commands before the attack.
    before: tuple = ()
    attack: str = ""
    goals: tuple = ()
    #: Connections whose life is asked for afterwards, and how many a source has.
    alive: tuple = ()
    #: Sysctls of net.netfilter; what mainline does not have is left out there.
    sysctls: dict = field(default_factory=dict)
    #: Seconds between the preparation and the attack.
    wait: float = 0
    buckets: int = TABLE
    #: How the attack is run: "one" process, "two" at a time, through many "spaces",
    #: or during a "storm" of resizes, inserts and flushes.
    how: str = "one"
    #: Part of the short run.
    short: bool = False
    #: A flood with honest clients in it, of which there is a course to draw.
    flood: bool = False
    #: The kind of packets, if its cost is measured as well.
    cost: str = ""
    #: Seconds for which honest clients try to get in again afterwards.
    patience: int = 10


REFUSED = Goal("refused")
LOST = Goal("lost")
DEAD = Goal("dead")
AT_ONCE = Goal("first")
LEFT = Goal("left")
OTHERS = Goal("others")
FLOOD = (LOST, REFUSED, DEAD)
SECONDS_IDLE = 2.5


def scenes(table=TABLE):
    """All scenes, for a table of this size."""

    def n(number):
        return max(1, number * table // TABLE)

    live = n(LIVE)
    settled = (f"established {live}",)

    def flood(kind, tables, rtt, every=500, burst=0):
        rest = f" {n(burst)}" if burst else ""
        return f"{kind} {table * tables} {n(rtt)} {max(1, n(every))}{rest}"

    def sparse(tenths, name, **kwargs):
        may_go = max(1, table * tenths // 1000)
        return Scene(
            f"sparse-{name}", f"full table, {name} % may go",
            before=(f"established {table - may_go}", f"halfopen {may_go}"),
            attack=f"syn {n(20_000)} 0 0", goals=(REFUSED, DEAD), alive=(table - may_go, 16),
            cost="syn", **kwargs)

    def ended(what, title, **kwargs):
        return Scene(what, f"full of {title}", before=(f"{what} {table}",),
                     attack=f"syn {n(20_000)} 0 0", goals=(AT_ONCE, REFUSED), cost="syn",
                     # Mainline's worker comes within a minute.
                     patience=70, **kwargs)

    def under_flood(name, title, attack, before=settled, alive=(live, 16), goals=FLOOD, **kwargs):
        return Scene(name, title, before, attack, goals, alive, flood=True, **kwargs)

    return [
        sparse(100, "10"),
        sparse(50, "5"),
        sparse(10, "1", short=True),
        sparse(1, "0.1", short=True),
        ended("timewait", "TIME_WAIT", short=True),
        ended("closewait", "CLOSE_WAIT"),
        Scene("idle", "full of idle connections, soft timeout of 1 s",
              before=(f"established {table}",), wait=SECONDS_IDLE,
              sysctls={"nf_conntrack_tcp_soft_timeout_established": 1},
              attack=f"syn {n(20_000)} 0 0", goals=(AT_ONCE, REFUSED), cost="syn", short=True),
        under_flood("syn-10", "SYN flood, 10 tables, round trip 20,000",
                    flood("syn", 10, 20_000), short=True),
        under_flood("syn-100", "SYN flood, 100 tables, round trip 40,000",
                    flood("syn", 100, 40_000)),
        under_flood("syn-1000", "SYN flood, 1,000 tables, round trip 40,000",
                    flood("syn", 1000, 40_000, 5_000)),
        under_flood("udp-10", "UDP flood, 10 tables, round trip 20,000",
                    flood("udp", 10, 20_000), short=True),
        under_flood("udp-bursts", "UDP in bursts of half a table, round trip 20,000",
                    flood("udp", 10, 20_000, burst=32_768)),
        under_flood("ntp", "UDP, each packet answered (NTP), round trip 20,000",
                    flood("ntp", 10, 20_000), short=True),
        under_flood("botnet", "whole handshakes of 16 sources, 1,000 others with one flow each",
                    flood("bot", 5, 10_000), (f"established {n(1_000)} 1",), (n(1_000), 1)),
        under_flood("bucket", "SYNs, every other one into 8 neighbouring buckets",
                    flood("collide", 10, 20_000), how="collide", buckets=n(8_192)),
        under_flood("two", "two CPUs, 5 tables of SYNs each, round trip 10,000",
                    flood("syn", 5, 10_000), how="two", short=True),
        under_flood("spaces", "16 namespaces, 8 of them flooded, round trip 32,000",
                    flood("syn", 2, 32_000), (f"established {n(1_000)}", f"halfopen {n(200)}"),
                    (n(1_000), 16), (*FLOOD, OTHERS), how="spaces"),
        Scene("storm", "SYN flood with resizes, conntrack -I and -F at the same time", (),
              flood("syn", 10, 20_000), (REFUSED, LEFT), how="storm"),
    ]


@dataclass(frozen=True)
class Cost:
    """A new connection's cost on a full table, beside mainline's on one with room."""

    name: str
    title: str
    kind: str
    before: tuple
    attack: str
    sysctls: dict = field(default_factory=dict)
    wait: float = 0.3


#: A new connection may cost so many times what it costs mainline with room.
COST_MOST = 1.2
COST_KINDS = ("syn", "udp", "ntp")


def costs(table=TABLE):
    """What cost is measured of. Floods run on a table that they have filled themselves."""
    found = []
    for scene in scenes(table):
        if scene.cost and not scene.flood:
            found.append(Cost(scene.name, scene.title, scene.cost, scene.before, scene.attack,
                              scene.sysctls, max(scene.wait, 0.3)))
    live = LIVE * table // TABLE
    for kind, title in (("syn", "SYN flood"), ("udp", "UDP flood"), ("ntp", "UDP, each answered")):
        found.append(Cost(kind, f"{title}, 10,000 established", kind,
                          (f"established {live}", f"{kind} {table * 3 // 2} 0 0"),
                          f"{kind} {table * 2} 0 0"))
    return found
