/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs in exposed ports. */
#include <string.h>

#include "cleanup.h"
#include "mappings.h"
#include "plan_internal.h"

/* What is exposed now, in the order of exposure_compare(). */
struct present {
	struct exposure exposure;
	enum {
		FATE_UNKNOWN, /* the file does not name it */
		FATE_STAYS,
		FATE_RENEWED,  /* with other sources */
		FATE_GOES,     /* with its endpoint, or by prune */
		FATE_RESTORED, /* goes with its endpoint, but is to be there again */
	} fate;
};

struct presents {
	struct planning *p;
	struct present *items;
	size_t count;
};

static int collect(const struct mapping *mapping, void *arg)
{
	struct presents *all = arg;

	/* Without the lock there may be more by now. */
	if (all->count < NSBPF_MAX_MAPPINGS)
		all->items[all->count++] = (struct present){ .exposure = config_exposure_of(all->p->host, mapping) };
	return 0;
}

/* The last one that begins with the wanted one or before its last port; NULL if there is none. */
static struct present *last_before_end(const struct presents *all, const struct exposure *wanted)
{
	struct exposure end = *wanted;
	size_t low = 0, high = all->count;

	end.ports.first = end.ports.last;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (exposure_compare(&all->items[middle].exposure, &end) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &all->items[low - 1] : NULL;
}

static bool is_same(const struct exposure *a, const struct exposure *b)
{
	return !exposure_compare(a, b) && a->ports.last == b->ports.last && a->ports.target == b->ports.target &&
	       !strcmp(a->endpoint, b->endpoint);
}

static bool has_source(const struct exposure *exposure, const struct cidr *source)
{
	for (unsigned int i = 0; i < exposure->nsources; i++)
		if (addr_equal(&exposure->sources[i].addr, &source->addr) &&
		    exposure->sources[i].prefix == source->prefix)
			return true;
	return false;
}

static bool are_sources_same(const struct exposure *a, const struct exposure *b)
{
	for (unsigned int i = 0; i < a->nsources; i++)
		if (!has_source(b, &a->sources[i]))
			return false;
	return a->nsources == b->nsources;
}

static void sources_text(const struct exposure *exposure, char *text, size_t size)
{
	char source[CIDR_TEXT];
	size_t used = 0;

	snprintf(text, size, "everybody");
	for (unsigned int i = 0; i < exposure->nsources; i++)
		used += snprintf(text + used, size - used, "%s%s", i ? "," : "",
				 cidr_format(&exposure->sources[i], source));
}

static int plan_port(struct planning *p, enum change_action action, const struct exposure *exposure,
		     const struct exposure *was)
{
	struct change *change = plan_append(p, action, OBJECT_PORT, exposure->endpoint);
	char is[NSBPF_MAX_SOURCES * CIDR_TEXT], should[sizeof(is)];

	if (!change)
		return -1;
	change->exposure = *exposure;
	if (!was)
		return 0;
	change->differs = json_array();
	sources_text(was, is, sizeof(is));
	sources_text(exposure, should, sizeof(should));
	return plan_note(p, change->differs, "from", is, should);
}

/* What becomes of the endpoint that the port is exposed to. */
static bool goes_with_endpoint(const struct planning *p, const char *endpoint, enum change_action action)
{
	for (size_t i = 0; i < p->plan->count; i++) {
		const struct change *change = &p->plan->changes[i];

		if (change->object == OBJECT_ENDPOINT && change->action == action && !strcmp(change->name, endpoint))
			return true;
	}
	return false;
}

/* The wanted port's own entry gets its fate, if there is one. */
static int match(struct planning *p, const struct presents *all, const struct exposure *wanted)
{
	struct present *present = last_before_end(all, wanted);

	if (!present || !is_same(&present->exposure, wanted))
		return plan_port(p, CHANGE_ADD, wanted, NULL);
	if (goes_with_endpoint(p, wanted->endpoint, CHANGE_RENEW)) {
		present->fate = FATE_GOES;
		return plan_port(p, CHANGE_ADD, wanted, NULL);
	}
	present->fate = are_sources_same(&present->exposure, wanted) ? FATE_STAYS : FATE_RENEWED;
	return present->fate == FATE_STAYS ? 0 : plan_port(p, CHANGE_RENEW, wanted, &present->exposure);
}

/* Those that no wanted one has met. */
static int settle_others(struct planning *p, const struct presents *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct present *present = &all->items[i];
		const struct exposure *exposure = &present->exposure;

		if (present->fate != FATE_UNKNOWN)
			continue;
		if (goes_with_endpoint(p, exposure->endpoint, CHANGE_REMOVE)) {
			present->fate = FATE_GOES;
		} else if (p->prune) {
			present->fate = FATE_GOES;
			if (!goes_with_endpoint(p, exposure->endpoint, CHANGE_RENEW) &&
			    plan_port(p, CHANGE_REMOVE, exposure, NULL))
				return -1;
		} else if (goes_with_endpoint(p, exposure->endpoint, CHANGE_RENEW)) {
			present->fate = FATE_RESTORED;
			if (plan_port(p, CHANGE_ADD, exposure, NULL))
				return -1;
		}
	}
	return 0;
}

/* In the way is what overlaps and will be there. */
static int check(struct planning *p, const struct presents *all, const struct config_port *wanted)
{
	char text[EXPOSURE_TEXT], other[EXPOSURE_TEXT];
	const struct present *present;

	present = last_before_end(all, &wanted->exposure);
	for (; present && exposure_overlaps(&present->exposure, &wanted->exposure); present--) {
		if (present->fate != FATE_GOES && !is_same(&present->exposure, &wanted->exposure))
			return config_fail(p->config, wanted->at, p->err, EXIT_CONFLICT,
					   "endpoints.%s: ports %s overlap %s, exposed to %s, which the file does not "
					   "name",
					   wanted->exposure.endpoint, exposure_format(&wanted->exposure, text),
					   exposure_format(&present->exposure, other), present->exposure.endpoint);
		if (present == all->items)
			break;
	}
	return 0;
}

static int plan_all(struct planning *p, const struct presents *all)
{
	const struct config *config = p->config;

	for (size_t i = 0; i < config->nports; i++)
		if (match(p, all, &config->ports[i].exposure))
			return -1;
	if (settle_others(p, all))
		return -1;
	for (size_t i = 0; i < config->nports; i++)
		if (check(p, all, &config->ports[i]))
			return -1;
	return 0;
}

int plan_ports(struct planning *p)
{
	_cleanup_free_ struct present *items = calloc(NSBPF_MAX_MAPPINGS, sizeof(*items));
	struct presents all = { .p = p, .items = items };

	if (!items)
		return fail(p->err, EXIT_SYSTEM, "out of memory");
	if (p->host->running)
		mapping_each(p->host, collect, &all);
	return plan_all(p, &all);
}
