/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of differences, and the order in which they are looked for. */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_object(struct check *check, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(check->object, sizeof(check->object), fmt, args);
	va_end(args);
}

bool check_differs(struct check *check, const char *what, const char *should, const char *fmt, ...)
{
	struct finding *finding;
	va_list args;

	if (!check->findings)
		check->findings = calloc(CHECK_MAX_FINDINGS, sizeof(*check->findings));
	if (!check->findings || check->count == CHECK_MAX_FINDINGS) {
		check->more++;
		return false;
	}
	finding = &check->findings[check->count++];
	snprintf(finding->object, sizeof(finding->object), "%s", check->object);
	snprintf(finding->what, sizeof(finding->what), "%s", what);
	snprintf(finding->should, sizeof(finding->should), "%s", should);
	va_start(args, fmt);
	vsnprintf(finding->is, sizeof(finding->is), fmt, args);
	va_end(args);
	return check->repair;
}

static struct finding *last(struct check *check)
{
	return &check->findings[check->count - 1];
}

void check_outcome(struct check *check, int ret)
{
	last(check)->mended = !ret;
	if (ret)
		check_advise(check, "%s", strerror(-ret));
}

void check_outcome_of(struct check *check, int ret, const struct error *err)
{
	last(check)->mended = !ret;
	if (ret)
		check_advise(check, "%s", err->text);
}

void check_passes(struct check *check)
{
	check_advise(check, "the next command that adds something tells the datapath");
	if (check->count)
		last(check)->passes = true;
}

void check_advise(struct check *check, const char *fmt, ...)
{
	va_list args;

	if (!check->count)
		return;
	va_start(args, fmt);
	vsnprintf(last(check)->why_not, sizeof(last(check)->why_not), fmt, args);
	va_end(args);
}

static int look(struct check *check, struct error *err)
{
	memset(&check->looked_at, 0, sizeof(check->looked_at));
	if (check_strays(check, err))
		return -1;
	if (!check->host->running)
		return 0;
	return check_host(check, err) || check_networks(check, err) || check_endpoints(check, err) ||
			       check_uplinks(check, err) || check_mappings(check, err) || check_connections(check, err)
		       ? -1
		       : 0;
}

static struct finding *find(const struct check *check, const struct finding *wanted)
{
	for (size_t i = 0; i < check->count; i++)
		if (!strcmp(check->findings[i].object, wanted->object) &&
		    !strcmp(check->findings[i].what, wanted->what))
			return &check->findings[i];
	return NULL;
}

/* What is there on second sight was not mended, whatever the attempt has said; and something may have come to light. */
static void compare(struct check *check, const struct check *again)
{
	for (size_t i = 0; i < check->count; i++)
		if (find(again, &check->findings[i]))
			check->findings[i].mended = false;
	for (size_t i = 0; i < again->count; i++) {
		const struct finding *finding = &again->findings[i];

		if (find(check, finding))
			continue;
		check_object(check, "%s", finding->object);
		check_differs(check, finding->what, finding->should, "%s", finding->is);
		check_advise(check, "%s", finding->why_not);
		last(check)->passes = finding->passes;
	}
	check->more = again->more;
	check->looked_at = again->looked_at;
}

int check_all(struct check *check, struct error *err)
{
	struct check again = { .host = check->host };
	int ret = look(check, err);

	if (ret || !check->repair || !check->count)
		return ret;
	ret = look(&again, err);
	if (!ret)
		compare(check, &again);
	check_free(&again);
	return ret;
}

void check_free(struct check *check)
{
	free(check->findings);
	check->findings = NULL;
	check->count = 0;
}
