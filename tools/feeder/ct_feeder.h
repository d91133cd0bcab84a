/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What user space and ct_feeder.ko exchange through /dev/ct_feeder.
 *
 * Each open file has the network namespace of the task that opened it. A
 * write() carries whole ctf_packet records, each followed by its L3 bytes and
 * padded to 8 bytes; it returns how many bytes were worked off, which is less
 * than offered when the results need reading first. A read() returns whole
 * ctf_result records, each followed by its ctf_entry records.
 *
 * All numbers are in host byte order but for addresses, ports and whatever
 * else lies in struct nf_conntrack_tuple in network order.
 */
#ifndef _CT_FEEDER_H
#define _CT_FEEDER_H

#include <linux/types.h>

#define CTF_MAX_LEN		9000	/* L3 bytes of one packet */
#define CTF_MAX_NONLINEAR	4096	/* of which at most so many outside the head */
#define CTF_MAX_ENTRIES		256	/* distinct entries followed in a sequence */
#define CTF_MAX_HELD		32	/* packets held at a time */
#define CTF_NO_ENTRY		0xffff

/* The hooks that a packet goes through. */
enum ctf_path {
	CTF_IN,		/* PRE_ROUTING, LOCAL_IN */
	CTF_FORWARD,	/* PRE_ROUTING, FORWARD, POST_ROUTING */
	CTF_OUT,	/* LOCAL_OUT, POST_ROUTING */
	CTF_LOOP,	/* LOCAL_OUT, POST_ROUTING, PRE_ROUTING, LOCAL_IN */
	CTF_PRE,	/* PRE_ROUTING, then lost before any other hook */
	CTF_LOST_OUT,	/* LOCAL_OUT, then lost before any other hook */
	CTF_RELEASE,	/* no packet: the held one hold_ref goes on */
	CTF_PATHS
};

#define CTF_SEQ_START	0x01	/* first packet of a sequence: forget the one before */
#define CTF_HOLD	0x02	/* stop after the first hook until released */
#define CTF_CLONE	0x04	/* CTF_RELEASE: a clone goes on, the packet stays held */
#define CTF_CSUM_OK	0x08	/* device says: checksum verified */
#define CTF_FLAGS	0x0f

struct ctf_packet {
	__u16 len;		/* bytes that follow */
	__u16 linear;		/* of which in the head of the skb; >= len: all */
	__u8 family;		/* 4 or 6 */
	__u8 path;		/* enum ctf_path */
	__u16 flags;
	__u32 delay_ms;		/* entries of the sequence grow older by this first */
	__u32 mark;		/* skb->mark */
	__u16 hold_ref;		/* CTF_RELEASE: index of the held packet */
	__u16 zone;		/* != 0: a template with this zone */
	__u8 zone_dir;		/* 1 original, 2 reply, 3 both */
	__u8 zone_flags;	/* 1: zone id from the mark */
	__u16 reserved;
};

enum ctf_outcome {
	CTF_DONE,
	CTF_REJECTED,	/* the IP input or output path would not have passed it on */
	CTF_HELD,
	CTF_MISSING,	/* nothing held under that number, or no room to hold */
	CTF_NO_ZONE,	/* this engine offers no templates */
};

enum ctf_state {
	CTF_NONE,
	CTF_UNTRACKED,
	CTF_TEMPLATE,
	CTF_ENTRY,
	CTF_GONE,	/* the hook kept the packet */
};

struct ctf_result {
	__u32 size;		/* with the entries that follow */
	__u32 sequence;		/* of this open file, from 0 */
	__u16 index;		/* of the packet in its sequence */
	__u16 nentries;
	__u32 elapsed;		/* ticks since the sequence began */
	__u32 verdict[4];	/* of each hook passed, as the hook function gave it */
	__u8 nverdicts;
	__u8 outcome;
	__u8 first_state;	/* after the first hook */
	__u8 first_info;
	__u16 first_entry;
	__u16 last_entry;
	__u8 last_state;	/* after the last hook */
	__u8 last_info;
	__u8 ip_summed;
	__u8 reserved;
	__u32 skb_len;
	__u8 stat[13];		/* how far each counter of the namespace moved */
	__u8 reserved2;
	__u16 hz;		/* ticks a second */
};

struct ctf_tuple {
	__u8 src[16];
	__u8 dst[16];
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 dir;
	__u16 l3num;
};

struct ctf_tcp_side {
	__u32 end, maxend, maxwin, maxack;
	__u8 scale, flags;
	__u16 reserved;
};

struct ctf_tcp {
	struct ctf_tcp_side seen[2];
	__u8 state, last_dir, retrans, last_index;
	__u32 last_seq, last_ack, last_end;
	__u16 last_win;
	__u8 last_wscale, last_flags;
};

struct ctf_sctp {
	__u32 state;
	__u32 vtag[2];
	__u8 init[2];
	__u8 last_dir, flags;
};

struct ctf_gre {
	__u32 stream_timeout, timeout;
};

#define CTF_E_CURRENT	0x01	/* the one that the packet carries at the end */
#define CTF_E_EXPIRED	0x02	/* past its end: the collector may take it any time */

/*
 * An entry after a packet: the packet's own, and any other of the sequence
 * that is not as it was reported last.
 */
struct ctf_entry {
	__u16 id;		/* index of the packet that was first seen with it */
	__u8 flags;
	__u8 zone_dir;
	__u16 zone;
	__u16 ext;		/* extensions that it has, by bit */
	__u32 status;
	__u32 mark;
	struct ctf_tuple tuple[2];
	__u64 acct[4];		/* packets, bytes of original, of reply */
	union {
		struct ctf_tcp tcp;
		struct ctf_sctp sctp;
		struct ctf_gre gre;
		__u8 raw[64];
	};
	__u16 master;		/* id, or CTF_NO_ENTRY */
	__u16 reserved;
	__u32 reserved2;
	/* From here on not a reason to report an entry. */
	__s32 remaining;	/* ticks */
	__s32 stream;		/* UDP: ticks until it counts as a stream */
	__s32 use;		/* references, this module's own not counted */
	__u32 reserved3;
};

#endif /* _CT_FEEDER_H */
