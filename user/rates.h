/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of now and of before, and what that makes in a second. */
#ifndef NSBPF_RATES_H
#define NSBPF_RATES_H

#include "totals.h"

struct endpoint_sample {
	unsigned int slot;
	struct endpoint endpoint;
	struct usage usage;
	struct endpoint_stats stats;
};

/* All counters of a host. */
struct sample {
	unsigned long long taken; /* ns */
	bool running;
	struct totals totals;
	struct endpoint_sample *endpoints; /* in the order of their slots; never NULL */
	size_t count;
};

/* 0 or -errno; then there is nothing to free. */
int sample_take(const struct host *host, struct sample *sample);
/* The same of the host that is there now: 0, or -1 with err. */
int sample_now(struct sample *sample, struct error *err);
void sample_free(struct sample *sample);

/* How often in a second. */
struct rates {
	double rx_packets;
	double rx_bits;
	double tx_packets;
	double tx_bits;
	double drops;
};

double sample_seconds(const struct sample *now, const struct sample *before);
/* A counter's growth; one that is smaller than it was began again in between. */
double rate(unsigned long long now, unsigned long long before, double seconds);
struct rates rates_of(const struct endpoint_sample *endpoint, const struct sample *now, const struct sample *before);

#endif
