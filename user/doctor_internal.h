/* SPDX-License-Identifier: GPL-2.0-only */
/* What the doctor_*.c files share. */
#ifndef NSBPF_DOCTOR_INTERNAL_H
#define NSBPF_DOCTOR_INTERNAL_H

#include "addr.h"
#include "datapath.h"
#include "doctor.h"

struct hook_subject {
	struct doctor *doctor;
	const char *subject;
	const char *program; /* ours */
	const char *device;
};

/* Others' programs that see its packets before ours does. */
void doctor_hook(const struct hook_subject *subject, const struct link *link, enum hook hook);
void doctor_xdp(struct doctor *doctor, const char *subject, const struct link *link);

#endif
