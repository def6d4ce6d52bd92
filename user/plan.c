/* SPDX-License-Identifier: GPL-2.0-only */
/* Planning: what differs between a file and a host. */
#include <string.h>

#include "plan_internal.h"
#include "uplinks.h"

struct change *plan_append(struct planning *p, enum change_action action, enum change_object object, const char *name)
{
	struct plan *plan = p->plan;
	struct change *changes = plan->changes, *change;

	if (plan->count == plan->room) {
		changes = reallocarray(changes, plan->room * 2 + 64, sizeof(*changes));
		if (!changes) {
			fail(p->err, EXIT_SYSTEM, "out of memory");
			return NULL;
		}
		plan->changes = changes;
		plan->room = plan->room * 2 + 64;
	}
	change = &changes[plan->count++];
	*change = (struct change){ .action = action, .object = object };
	snprintf(change->name, sizeof(change->name), "%s", name);
	return change;
}

int plan_note(struct planning *p, json_t *differs, const char *key, const char *is, const char *should)
{
	if (json_array_append_new(differs, json_pack("{s:s,s:s,s:s}", "key", key, "is", is, "should", should)))
		return fail(p->err, EXIT_SYSTEM, "out of memory");
	return 0;
}

bool plan_renews(const struct planning *p, enum change_object object, const char *name)
{
	for (size_t i = 0; i < p->plan->count; i++) {
		const struct change *change = &p->plan->changes[i];

		if (change->object == object && change->action == CHANGE_RENEW && !strcmp(change->name, name))
			return true;
	}
	return false;
}

static int plan_setting(struct planning *p, const struct settings *settings, const struct setting *setting, __u32 value)
{
	__u32 now = setting_get(setting, settings);
	char is[SETTING_TEXT], should[SETTING_TEXT];
	struct change *change;

	if (now == value)
		return 0;
	change = plan_append(p, CHANGE_SET, OBJECT_SETTING, setting->name);
	if (!change)
		return -1;
	change->setting = setting;
	change->value = value;
	change->differs = json_array();
	return plan_note(p, change->differs, "value", setting_format(setting, now, is),
			 setting_format(setting, value, should));
}

/* Room that is there stays: it can't shrink while nsbpf runs. */
static bool is_prunable(const struct config *config, const struct setting *setting)
{
	for (size_t i = 0; i < config->nsettings; i++)
		if (config->settings[i].setting == setting)
			return false;
	return setting->kind != SETTING_ROOM;
}

/* Room for connections, which only grows while nsbpf runs. */
static int check_room(struct planning *p, const struct settings *settings, const struct config_setting *wanted)
{
	char now[SETTING_TEXT];

	if (!p->host->running || wanted->value >= setting_get(wanted->setting, settings))
		return 0;
	return config_fail(p->config, wanted->at, p->err, EXIT_CONFLICT, "settings: %s is %s and cannot be less now",
			   wanted->setting->name,
			   setting_format(wanted->setting, setting_get(wanted->setting, settings), now));
}

/* Those of room, or the others. */
static int plan_settings_of(struct planning *p, const struct settings *settings, bool room)
{
	const struct config *config = p->config;

	for (size_t i = 0; i < config->nsettings; i++) {
		const struct config_setting *wanted = &config->settings[i];

		if ((wanted->setting->kind == SETTING_ROOM) != room)
			continue;
		if ((room && check_room(p, settings, wanted)) ||
		    plan_setting(p, settings, wanted->setting, wanted->value))
			return -1;
	}
	return 0;
}

/* Where nothing runs, the room first: it can be had at once then. */
int plan_settings(struct planning *p)
{
	struct settings settings;

	settings_init(&settings);
	if (p->host->running)
		settings = *p->host->settings;
	if (plan_settings_of(p, &settings, true) || plan_settings_of(p, &settings, false))
		return -1;
	for (size_t i = 0; p->prune && i < all_settings_count; i++)
		if (is_prunable(p->config, &all_settings[i]) &&
		    plan_setting(p, &settings, &all_settings[i], all_settings[i].initial))
			return -1;
	return 0;
}

static bool is_uplink_wanted(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->nuplinks; i++)
		if (!strcmp(config->uplinks[i].name, name))
			return true;
	return false;
}

static int plan_uplink_removal(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct planning *p = arg;

	(void)ifindex;
	if (!(uplink->flags & UPLINK_NAMED) || is_uplink_wanted(p->config, uplink->name))
		return 0;
	return plan_append(p, CHANGE_REMOVE, OBJECT_UPLINK, uplink->name) ? 0 : -1;
}

struct by_index {
	__u32 ifindex;
	bool named;
};

static int match_named(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct by_index *wanted = arg;

	wanted->named = ifindex == wanted->ifindex && uplink->flags & UPLINK_NAMED;
	return wanted->named;
}

int plan_uplinks(struct planning *p)
{
	const struct config *config = p->config;

	for (size_t i = 0; i < config->nuplinks; i++) {
		struct by_index wanted = { 0 };
		struct link link;

		if (link_get(p->host->nl, config->uplinks[i].name, &link))
			return config_fail(config, config->uplinks[i].at, p->err, EXIT_MISSING,
					   "uplinks: no device %s on this host", config->uplinks[i].name);
		wanted.ifindex = link.ifindex;
		if (p->host->running)
			uplink_each(p->host, match_named, &wanted);
		if (!wanted.named && !plan_append(p, CHANGE_ADD, OBJECT_UPLINK, config->uplinks[i].name))
			return -1;
	}
	return p->prune && p->host->running ? uplink_each(p->host, plan_uplink_removal, p) : 0;
}

/* What goes, goes first: the others may need its addresses and ports. In the order in which each depends on the next;
 * and what is wanted in the other one. Renewing is both, and stands with what is wanted. */
static int rank(const struct change *change)
{
	if (change->object == OBJECT_SETTING)
		return 0;
	return change->action == CHANGE_REMOVE ? 10 - change->object : 10 + change->object;
}

/* Those that name their addresses before those that take what is free, of which `default` is first as by `add`. */
static int turn(const struct change *change)
{
	const struct config_endpoint *endpoint = change->endpoint;

	if (change->network && !change->network->options.spec.subnet4)
		return strcmp(change->name, NETWORK_DEFAULT) ? 2 : 1;
	return endpoint && addr_is_any(&endpoint->options.spec.ip.v4) ? 2 : 0;
}

static int sort(struct plan *plan, struct error *err)
{
	struct change *sorted = calloc(plan->count + 1, sizeof(*sorted));
	size_t count = 0;

	if (!sorted)
		return fail(err, EXIT_SYSTEM, "out of memory");
	for (int r = 0; r <= 10 + OBJECT_PORT; r++)
		for (int t = 0; t <= 2; t++)
			for (size_t i = 0; i < plan->count; i++)
				if (rank(&plan->changes[i]) == r && turn(&plan->changes[i]) == t)
					sorted[count++] = plan->changes[i];
	free(plan->changes);
	plan->changes = sorted;
	return 0;
}

int plan_make(const struct host *host, struct config *config, bool prune, struct plan *plan, struct error *err)
{
	struct planning p = { .host = host, .config = config, .plan = plan, .prune = prune, .err = err };

	*plan = (struct plan){ .config = config };
	resolv_upstream(&p.upstream);
	if (plan_settings(&p) || plan_uplinks(&p) || plan_networks(&p) || plan_endpoints(&p) || plan_ports(&p))
		return -1;
	return sort(plan, err);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		json_decref(plan->changes[i].differs);
	free(plan->changes);
}
