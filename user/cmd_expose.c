/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf expose, nsbpf unexpose */
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "command.h"
#include "mappings.h"
#include "teardown.h"

/* Whom to expose to. Clients of the other family than the exposed address's own never come by it. */
static int parse_sources(const char **texts, const struct nsbpf_addr *exposed, struct cidr *sources,
			 unsigned int *count)
{
	for (*count = 0; texts && texts[*count]; ++*count) {
		struct cidr *source = &sources[*count];

		if (*count == NSBPF_MAX_SOURCES)
			return report_usage("--from can be given %d times at most", NSBPF_MAX_SOURCES);
		if (cidr_parse(texts[*count], source))
			return report_usage("--from %s: not an address or prefix", texts[*count]);
		if (cidr_has_host_bits(source))
			return report_usage("--from %s has bits set behind its prefix", texts[*count]);
		if (!addr_is_any(exposed) && addr_is4(exposed) != addr_is4(&source->addr))
			return report_usage("--from %s: nobody there has an address of the family of the exposed one",
					    texts[*count]);
	}
	return 0;
}

static int parse_words(int argc, char **argv, struct port_spec *spec)
{
	const char *why;

	if (argc != 3)
		return report_usage("%s takes a name and ports (`nsbpf help %s`)", argv[0], argv[0]);
	if (name_check(argv[1]))
		return report_usage("'%s' is no name", argv[1]);
	if (port_spec_parse(argv[2], spec, &why))
		return report_usage("ports %s: %s", argv[2], why);
	if (IN6_IS_ADDR_LINKLOCAL(&spec->addr))
		return report_usage("ports %s: a link-local address cannot be exposed", argv[2]);
	return 0;
}

/* The host's own sockets find exposed ports by way of hooks in cgroup2. */
static const char *warning_without_hooks(const struct host *host)
{
	if (host->settings->features & FEATURE_HOST_SOCKETS)
		return NULL;
	return "this host itself cannot reach it by its own addresses: no cgroup2 is mounted";
}

int cmd_expose(int argc, char **argv)
{
	_cleanup_free_ const char **from = NULL;
	const struct option_spec options[] = { { .name = "from", .list = &from }, { .name = NULL } };
	struct cidr sources[NSBPF_MAX_SOURCES];
	const char *warning = NULL;
	struct port_spec spec;
	unsigned int nsources;
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, options) || parse_words(argc, argv, &spec) ||
	    parse_sources(from, &spec.addr, sources, &nsources))
		return EXIT_USAGE;
	ret = host_change(&host, &err);
	if (!ret && !host.running)
		ret = fail(&err, EXIT_MISSING, "no endpoint %s (`nsbpf add` makes one)", argv[1]);
	if (!ret)
		ret = host_start(&host, &err) ? -1 : mapping_add(&host, argv[1], &spec, sources, nsources, &err);
	if (ret > 0)
		warning = warning_without_hooks(&host);
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_change(ret, warning);
}

int cmd_unexpose(int argc, char **argv)
{
	struct port_spec spec;
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, NULL) || parse_words(argc, argv, &spec))
		return EXIT_USAGE;
	ret = host_change(&host, &err) ? -1 : mapping_delete(&host, argv[1], &spec, &err);
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_done(ret);
}
