/* SPDX-License-Identifier: GPL-2.0-only */
/* Changing a setting, with all that follows from it. */
#include "settings_change.h"

#include <string.h>

#include "connections.h"
#include "grow.h"
#include "refresh.h"

/* Of connections that there is room for. More than there is: the table grows. */
static int change_room(struct host *host, const struct setting *setting, __u32 value, struct error *err)
{
	__u32 now;

	if (!host->running) {
		host->connections = value;
		return host_start(host, err) ? -1 : 1;
	}
	now = setting_get(setting, host->settings);
	if (value == now)
		return 0;
	if (value < now)
		return fail(err, EXIT_CONFLICT,
			    "%s is %u, and a table with connections can't shrink (`nsbpf down` ends them)",
			    setting->name, now);
	return host_start(host, err) || host_grow(host, value, err) ? -1 : 1;
}

static int change_ports(struct host *host, const struct setting *setting, __u32 value, struct error *err)
{
	if (value && nat_ports_check(setting_ports(value), err))
		return -1;
	setting_put(setting, host->settings, value);
	return refresh_nat_ports(host, err) ? -1 : 1;
}

/* What a connection has been told of it was another value. */
static int change_time(struct host *host, const struct setting *setting, __u32 value, struct error *err)
{
	int ret;

	setting_put(setting, host->settings, value);
	ret = connections_review(host);
	if (ret)
		return fail(err, EXIT_SYSTEM, "%s is set, but connections that are there may not know: %s",
			    setting->name, strerror(-ret));
	return 1;
}

int setting_change(struct host *host, const struct setting *setting, __u32 value, struct error *err)
{
	if (setting->kind == SETTING_ROOM)
		return change_room(host, setting, value, err);
	if (!host->running)
		return fail(err, EXIT_MISSING,
			    "nothing runs here, so there is nothing to set (`nsbpf add NAME` begins)");
	if (setting_get(setting, host->settings) == value)
		return 0;
	if (setting->kind == SETTING_PORTS)
		return change_ports(host, setting, value, err);
	if (setting->kind != SETTING_LIMIT)
		return change_time(host, setting, value, err);
	setting_put(setting, host->settings, value);
	return 1;
}
