/* SPDX-License-Identifier: GPL-2.0-only */
/* Doing what was planned, by the functions behind the commands. */
#include <stdio.h>
#include <string.h>

#include "mappings.h"
#include "plan.h"
#include "settings_change.h"
#include "uplinks.h"

/* An endpoint whose namespace was there before nsbpf leaves it there. */
static int remove_endpoint(struct host *host, const char *name, struct error *err)
{
	struct endpoint endpoint;

	if (endpoint_find(host, name, &endpoint) < 0)
		return 0;
	return endpoint_delete(host, name, endpoint.flags & ENDPOINT_ADOPTED, err);
}

static int remove_object(struct host *host, const struct change *change, struct error *err)
{
	switch (change->object) {
	case OBJECT_UPLINK:
		return uplink_unname(host, change->name, err);
	case OBJECT_NETWORK:
		return network_delete(host, change->name, err);
	case OBJECT_ENDPOINT:
		return remove_endpoint(host, change->name, err);
	default:
		return mapping_delete(host, change->name, &change->exposure.ports, err);
	}
}

static bool differs_in(const struct change *change, const char *key)
{
	const json_t *one;
	size_t i;

	json_array_foreach(change->differs, i, one)
	{
		if (!strcmp(json_string_value(json_object_get(one, "key")), key))
			return true;
	}
	return false;
}

/* Made already where another object's making did it: `default`, with the first endpoint in it. */
static int make_object(struct host *host, struct change *change, struct error *err)
{
	struct endpoint endpoint;

	switch (change->object) {
	case OBJECT_SETTING:
		return setting_change(host, change->setting, change->value, err);
	case OBJECT_UPLINK:
		return uplink_add(host, change->name, err);
	case OBJECT_NETWORK:
		return change->action == CHANGE_SET ? network_set(host, &change->network->options.spec, err)
						    : network_add(host, &change->network->options.spec, err);
	case OBJECT_ENDPOINT:
		return change->action == CHANGE_SET
			       ? endpoint_set(host, &change->endpoint->options.spec, differs_in(change, "dns"), err)
			       : endpoint_add(host, &change->endpoint->options.spec, &endpoint, err);
	default:
		return mapping_add(host, &change->exposure, err);
	}
}

/* Of one kind of object, what goes for good and what goes to be made anew. */
static int clear(struct plan *plan, struct host *host, enum change_object object, void (*done)(const struct change *),
		 struct error *err)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct change *change = &plan->changes[i];

		if (change->object != object || (change->action != CHANGE_REMOVE && change->action != CHANGE_RENEW))
			continue;
		if (remove_object(host, change, err) < 0)
			return -1;
		change->state = change->action == CHANGE_REMOVE ? CHANGE_DONE : CHANGE_HALF;
		if (change->state == CHANGE_DONE)
			done(change);
	}
	return 0;
}

static int make(struct plan *plan, struct host *host, bool settings, void (*done)(const struct change *),
		struct error *err)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct change *change = &plan->changes[i];

		if (change->action == CHANGE_REMOVE || (change->object == OBJECT_SETTING) != settings)
			continue;
		if (make_object(host, change, err) < 0)
			return -1;
		change->state = CHANGE_DONE;
		done(change);
	}
	return 0;
}

int plan_carry_out(struct plan *plan, struct host *host, void (*done)(const struct change *), struct error *err)
{
	/* Room is planned first: what begins a host with as much. */
	if (!host->running && plan->count && plan->changes[0].setting && plan->changes[0].setting->kind == SETTING_ROOM)
		host->connections = plan->changes[0].value;
	if (host_start(host, err) || make(plan, host, true, done, err))
		return -1;
	for (int object = OBJECT_PORT; object > OBJECT_SETTING; object--)
		if (clear(plan, host, object, done, err))
			return -1;
	return make(plan, host, false, done, err);
}
