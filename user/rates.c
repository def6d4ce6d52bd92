/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading all counters, and comparing them. */
#include "rates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "endpoints.h"

#define NS_PER_S 1000000000ULL
#define BITS_PER_BYTE 8

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

struct taking {
	const struct host *host;
	struct sample *sample;
	size_t room;
};

static int take_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct taking *t = arg;
	struct endpoint_sample *e = &t->sample->endpoints[t->sample->count];
	int ret;

	if (t->sample->count == t->room) /* it was not there when they were counted */
		return 0;
	*e = (struct endpoint_sample){ .slot = slot, .endpoint = *endpoint, .usage = t->host->usage[slot] };
	ret = endpoint_stats(t->host, slot, &e->stats);
	t->sample->count += !ret;
	return ret;
}

int sample_take(const struct host *host, struct sample *sample)
{
	struct sample new = { .running = host->running, .taken = now_ns() };
	struct taking t = { .host = host, .sample = &new };
	int ret = totals_read(host, &new.totals);

	if (!ret && host->running)
		t.room = endpoint_count(host);
	new.endpoints = calloc(t.room + 1, sizeof(*new.endpoints));
	if (!new.endpoints)
		ret = -ENOMEM;
	if (!ret && host->running)
		ret = endpoint_each(host, take_endpoint, &t);
	if (ret)
		sample_free(&new);
	else
		*sample = new;
	return ret;
}

int sample_now(struct sample *sample, struct error *err)
{
	struct host host;
	int ret = host_open(&host, err);

	if (!ret) {
		ret = sample_take(&host, sample);
		if (ret)
			ret = fail(err, EXIT_SYSTEM, "cannot read the counters: %s", strerror(-ret));
	}
	host_close(&host);
	return ret;
}

void sample_free(struct sample *sample)
{
	free(sample->endpoints);
	*sample = (struct sample){ 0 };
}

double sample_seconds(const struct sample *now, const struct sample *before)
{
	return (double)(now->taken - before->taken) / NS_PER_S;
}

double rate(unsigned long long now, unsigned long long before, double seconds)
{
	return (double)(now < before ? now : now - before) / seconds;
}

static int compare_slots(const void *a, const void *b)
{
	const struct endpoint_sample *first = a, *second = b;

	return (first->slot > second->slot) - (first->slot < second->slot);
}

struct rates rates_of(const struct endpoint_sample *endpoint, const struct sample *now, const struct sample *before)
{
	const struct endpoint_stats none = { 0 }, *stats = &endpoint->stats, *was = &none;
	const struct endpoint_sample *same = bsearch(endpoint, before->endpoints, before->count, sizeof(*endpoint),
						     compare_slots);
	double seconds = sample_seconds(now, before);

	/* A slot's next endpoint began at zero. */
	if (same && same->endpoint.netns_ino == endpoint->endpoint.netns_ino)
		was = &same->stats;
	return (struct rates){
		.rx_packets = rate(stats->rx_packets, was->rx_packets, seconds),
		.rx_bits = rate(stats->rx_bytes, was->rx_bytes, seconds) * BITS_PER_BYTE,
		.tx_packets = rate(stats->tx_packets, was->tx_packets, seconds),
		.tx_bits = rate(stats->tx_bytes, was->tx_bytes, seconds) * BITS_PER_BYTE,
		.drops = rate(stats->drops, was->drops, seconds),
	};
}
