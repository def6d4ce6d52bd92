/* SPDX-License-Identifier: GPL-2.0-only */
/* What the BPF programs tell commands that listen: one record for each event, in each listener's own ring buffer. */
#ifndef NSBPF_EVENTS_H
#define NSBPF_EVENTS_H

#include "nsbpf/types.h"

#define NSBPF_LISTENERS 8         /* commands that may listen at once */
#define NSBPF_CAPTURE 9216        /* bytes of a frame that a packet's event may have */
#define NSBPF_RING (1 << 12)      /* bytes of a ring at least; a listener makes its own, as large as it likes */
#define NSBPF_RING_WAKE (1 << 16) /* bytes in it that a listener is woken up for; else it comes to look by itself */

enum event_kind {
	EVENT_NEW,     /* a connection was opened */
	EVENT_UPDATE,  /* its TCP state is another one */
	EVENT_DESTROY, /* it ended */
	EVENT_DROP,    /* a packet was dropped */
	EVENT_PACKET,  /* what became of a packet, with the packet as it came in */
	EVENT_KINDS,
};

/* A mask of kinds. That of all listeners is settings.listeners: while it is 0, nobody pays for this. For packets there
 * is `packets_heard` besides, which is asked for each of them. */
#define LISTEN(kind) (1U << (kind))
#define LISTEN_CONNECTIONS (LISTEN(EVENT_NEW) | LISTEN(EVENT_UPDATE) | LISTEN(EVENT_DESTROY))

/* By number of the listener, as its ring is in `listener_rings`. */
struct event_listener {
	__u32 kinds; /* 0: nobody's */
	__u32 pad;
	__u64 lost; /* events that its ring had no room for */
};

_Static_assert(sizeof(struct event_listener) == 16, "shared layout");

/* How every record begins. */
struct event {
	__u64 time; /* ns, CLOCK_MONOTONIC */
	__u32 kind; /* enum event_kind */
	__u32 pad;
};

/* EVENT_NEW, EVENT_UPDATE, EVENT_DESTROY */
struct connection_event {
	struct event event;
	struct conn conn;
	struct traffic traffic[CONN_DIRS];
};

_Static_assert(sizeof(struct connection_event) == 208, "shared layout");

enum event_program {
	EVENT_FROM_ENDPOINT,
	EVENT_FROM_UPLINK,
	EVENT_TO_ENDPOINT,
	EVENT_PROGRAMS,
};

/* What became of a packet. */
enum event_verdict {
	EVENT_PASSED, /* to the host's stack, or on from there to the endpoint */
	EVENT_DROPPED,
	EVENT_FORWARDED,
	EVENT_CONSUMED, /* a fragment that is held, or a message that nobody needs to hear */
	EVENT_VERDICTS,
};

/* EVENT_DROP, which has no bytes of the frame, and EVENT_PACKET */
struct packet_event {
	struct event event;
	__u32 ifindex;  /* where the program is attached */
	__u32 endpoint; /* slot; 0: not known */
	__u32 length;   /* of the frame */
	__u32 captured; /* bytes of it that follow */
	__u8 program;   /* enum event_program */
	__u8 verdict;   /* enum event_verdict */
	__u8 reason;    /* enum drop_reason, of a drop */
	__u8 pad[5];
	struct tuple tuple;  /* as it came in; all zero where that can't be told */
	struct tuple became; /* of a packet that was forwarded: as it goes on */
};

_Static_assert(sizeof(struct packet_event) == 120, "shared layout");

#endif
