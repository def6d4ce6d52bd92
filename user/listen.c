/* SPDX-License-Identifier: GPL-2.0-only */
/* Events are shown as they come; what was lost on the way is told at the end. */
#include "listen.h"

#include <errno.h>
#include <signal.h>
#include <stdio_ext.h>
#include <string.h>
#include <time.h>

#include "addr.h"
#include "command.h"

#define RING (4U << 20)
#define LOOK 500 /* ms; how often to see whether the host is still there, and what was shown goes out at the latest */
#define NS_PER_S 1000000000ULL

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

/* Without SA_RESTART: a signal ends the wait. A pipe that is closed is told by what is written to it. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = end };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

struct progress_of_listening {
	const struct listening *listening;
	__u64 until; /* 0: for ever */
	unsigned long shown;
};

static int hear(void *arg, void *record, size_t size)
{
	struct progress_of_listening *p = arg;
	const struct event *event = record;
	int ret;

	if (ended || (p->until && event->time >= p->until))
		return -ECANCELED;
	ret = p->listening->show(p->listening->arg, record, size);
	if (ret <= 0)
		return ret;
	p->shown++;
	return p->shown == p->listening->count ? -ECANCELED : 0;
}

static int wait_at_most(const struct progress_of_listening *p)
{
	__u64 t = now();

	if (!p->until || p->until - t > LOOK * 1000000ULL)
		return LOOK;
	return t < p->until ? (p->until - t) / 1000000 + 1 : 0;
}

/* 0, -ECANCELED at the end that was asked for, -ENOENT if the host has gone, or another -errno. */
static int follow(struct events *events, struct progress_of_listening *p)
{
	__u64 looked = now();
	int ret = 0;

	while (!ret && !ended && (!p->until || now() < p->until)) {
		ret = events_poll(events, wait_at_most(p));
		if (ret == -EINTR)
			ret = 0;
		if (fflush(NULL)) /* a file of packets, too */
			ret = -errno;
		if (!ret && now() - looked >= 2 * LOOK * 1000000ULL) {
			ret = events_go_on(events) ? 0 : -ENOENT;
			looked = now();
		}
	}
	return ret;
}

static void tell_begin(const struct listening *listening)
{
	if (!json_output)
		report_aside("listening");
	else if (!listening->silent)
		listening_print(json_pack("{s:s}", "event", "begin"));
	fflush(stdout);
}

static void tell_end(const struct progress_of_listening *p, unsigned long long lost)
{
	if (!json_output)
		report_aside("%lu event%s, %llu lost", p->shown, p->shown == 1 ? "" : "s", lost);
	else if (!p->listening->silent)
		listening_print(json_pack("{s:s,s:I,s:I}", "event", "end", "events", (json_int_t)p->shown, "lost",
					  (json_int_t)lost));
	fflush(stdout);
}

static int report_failure(int ret)
{
	struct error err;

	if (ret == -ENOENT)
		fail(&err, EXIT_MISSING, "nothing runs here any more");
	else
		fail(&err, EXIT_SYSTEM, "cannot go on: %s", strerror(-ret));
	return report(&err);
}

int listen_until_end(const struct listening *listening)
{
	struct progress_of_listening p = { .listening = listening };
	unsigned long long lost;
	struct events *events;
	struct error err;
	int ret;

	catch_signals();
	if (events_open(&events, listening->kinds, RING, hear, &p, &err))
		return report(&err);
	if (listening->seconds)
		p.until = now() + listening->seconds * NS_PER_S;
	tell_begin(listening);
	ret = follow(events, &p);
	lost = events_lost(events);
	events_close(events);
	if (ret == -EPIPE) { /* what is left to be written is for nobody */
		__fpurge(stdout);
		clearerr(stdout);
		return EXIT_DONE;
	}
	tell_end(&p, lost);
	return ret && ret != -ECANCELED ? report_failure(ret) : EXIT_DONE;
}

int listening_limits(struct listening *listening, const char *count, const char *seconds)
{
	if (count && number_parse(count, 1, 1000000000, &listening->count))
		return report_usage("--count %s: a number from 1 on is wanted", count);
	if (seconds && duration_parse(seconds, 1, 1000000000, &listening->seconds))
		return report_usage("--time %s: seconds are wanted, or 5m, 1h", seconds);
	return 0;
}

int listening_print(json_t *json)
{
	int ret = json ? json_dumpf(json, stdout, JSON_COMPACT) : -1;

	json_decref(json);
	if (ret)
		return ferror(stdout) ? -errno : -ENOMEM;
	putchar('\n');
	return 1;
}
