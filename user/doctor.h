/* SPDX-License-Identifier: GPL-2.0-only */
/* Looks at a host for what would keep nsbpf from working, also where it can't run at all. */
#ifndef NSBPF_DOCTOR_H
#define NSBPF_DOCTOR_H

#include "host.h"

enum level {
	LEVEL_OK,
	LEVEL_NOTE,    /* worth knowing, nothing to be done */
	LEVEL_WARNING, /* works, but less well or for less than it could */
	LEVEL_PROBLEM, /* does not work */
};

struct diagnosis {
	enum level level;
	char subject[64]; /* "uplink up0" */
	char text[192];   /* what is */
	char why[256];    /* it matters; "" where that is plain */
	char fix[512];    /* a command, or what else helps; "" */
};

struct doctor {
	struct host host;     /* with nothing but its netlink socket, where nsbpf can't run */
	int lock;             /* shared: nobody changes anything meanwhile; or -1 */
	struct error refused; /* why it can't be opened; the text is "" if it can */
	struct diagnosis *list;
	size_t count, room;
	bool out_of_memory;
};

/* The next diagnosis. What is said about it then by doctor_why() and doctor_fix() is about this one. */
__attribute__((format(printf, 4, 5))) void doctor_say(struct doctor *doctor, enum level level, const char *subject,
						      const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void doctor_why(struct doctor *doctor, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void doctor_fix(struct doctor *doctor, const char *fmt, ...);

/* So many warnings of one kind are told one by one, of the others only how many they are. */
#define DOCTOR_ALIKE 10
void doctor_more(struct doctor *doctor, const char *subject, unsigned int count, const char *what);

/* The parts, in the order in which they are reported. */
void doctor_kernel(struct doctor *doctor);
void doctor_system(struct doctor *doctor);
void doctor_routes(struct doctor *doctor);
void doctor_uplinks(struct doctor *doctor);
void doctor_firewall(struct doctor *doctor);
void doctor_endpoints(struct doctor *doctor);
void doctor_ports(struct doctor *doctor);
void doctor_tables(struct doctor *doctor);

/* XDP comes before all else; `subject` has the device. */
void doctor_xdp(struct doctor *doctor, const char *subject, const struct link *link);

/* All of them. 0, or -1 with err. */
int doctor_look(struct doctor *doctor, struct error *err);
void doctor_close(struct doctor *doctor);

#endif
