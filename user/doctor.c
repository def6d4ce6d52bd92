/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of diagnoses, and the host that they are about. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

void doctor_say(struct doctor *doctor, enum level level, const char *subject, const char *fmt, ...)
{
	struct diagnosis *diagnosis;
	va_list args;

	if (doctor->count == doctor->room) {
		size_t room = doctor->room * 2 + 64;
		struct diagnosis *list = realloc(doctor->list, room * sizeof(*list));

		if (!list) {
			doctor->out_of_memory = true;
			return;
		}
		doctor->list = list;
		doctor->room = room;
	}
	diagnosis = &doctor->list[doctor->count++];
	*diagnosis = (struct diagnosis){ .level = level };
	snprintf(diagnosis->subject, sizeof(diagnosis->subject), "%s", subject);
	va_start(args, fmt);
	vsnprintf(diagnosis->text, sizeof(diagnosis->text), fmt, args);
	va_end(args);
}

void doctor_why(struct doctor *doctor, const char *fmt, ...)
{
	va_list args;

	if (!doctor->count)
		return;
	va_start(args, fmt);
	vsnprintf(doctor->list[doctor->count - 1].why, sizeof(doctor->list->why), fmt, args);
	va_end(args);
}

void doctor_fix(struct doctor *doctor, const char *fmt, ...)
{
	va_list args;

	if (!doctor->count)
		return;
	va_start(args, fmt);
	vsnprintf(doctor->list[doctor->count - 1].fix, sizeof(doctor->list->fix), fmt, args);
	va_end(args);
}

void doctor_more(struct doctor *doctor, const char *subject, unsigned int count, const char *what)
{
	if (count > DOCTOR_ALIKE)
		doctor_say(doctor, LEVEL_WARNING, subject, "%u more %s", count - DOCTOR_ALIKE, what);
}

/* Another command at work would look like one that was killed. So that is waited for; what is open is of before. */
static int reopen_locked(struct doctor *doctor)
{
	doctor->lock = open(doctor->host.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (doctor->lock >= 0 && flock(doctor->lock, LOCK_SH) && errno == EINTR)
		;
	host_close(&doctor->host);
	return host_open(&doctor->host, &doctor->refused);
}

/* What could not be opened is closed; the network can be looked at all the same. */
static int open_host(struct doctor *doctor, struct error *err)
{
	int ret = host_open(&doctor->host, &doctor->refused);

	doctor->lock = -1;
	if (!ret && doctor->host.running)
		ret = reopen_locked(doctor);
	if (!ret) {
		doctor->refused.text[0] = '\0';
		return 0;
	}
	if (doctor->host.nl)
		return 0;
	ret = nl_open(&doctor->host.nl);
	return ret ? fail(err, EXIT_SYSTEM, "cannot open a netlink socket: %s", strerror(-ret)) : 0;
}

int doctor_look(struct doctor *doctor, struct error *err)
{
	if (open_host(doctor, err))
		return -1;
	doctor_kernel(doctor);
	doctor_system(doctor);
	doctor_routes(doctor);
	doctor_uplinks(doctor);
	doctor_firewall(doctor);
	if (doctor->host.running) {
		doctor_endpoints(doctor);
		doctor_ports(doctor);
		doctor_tables(doctor);
	}
	return doctor->out_of_memory ? fail(err, EXIT_SYSTEM, "out of memory") : 0;
}

void doctor_close(struct doctor *doctor)
{
	host_close(&doctor->host);
	if (doctor->lock >= 0)
		close(doctor->lock);
	free(doctor->list);
	doctor->list = NULL;
}
