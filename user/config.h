/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A host in one YAML file, of which every scalar is text to us, and means what it means on the command line:
 *
 *   settings:  { NAME: VALUE }
 *   uplinks:   [ DEVICE ]
 *   networks:  { NAME: { subnet: CIDR, ... } }
 *   endpoints: { NAME: { network: NAME, ..., ports: [ PORTS, { ports: PORTS, from: [ CIDR ] } ] } }
 */
#ifndef NSBPF_CONFIG_H
#define NSBPF_CONFIG_H

#include <jansson.h>

#include "endpoint_options.h"
#include "exposure.h"
#include "network_options.h"
#include "settings.h"

/* Where in the file, from 1 on; 0: nowhere, it is implied. */
struct config_place {
	size_t line, column;
};

struct config_setting {
	struct config_place at;
	const struct setting *setting;
	__u32 value;
};

struct config_uplink {
	struct config_place at;
	char name[IFNAMSIZ];
};

struct config_network {
	struct config_place at;
	struct network_options options;
};

struct config_endpoint {
	struct config_place at;
	struct endpoint_options options;
	struct endpoint_inherited inherited; /* for when it is made anew */
};

/* Of one protocol: "/both" makes two. */
struct config_port {
	struct config_place at;
	struct exposure exposure;
};

struct config {
	const char *file; /* for errors */
	struct config_setting *settings;
	struct config_uplink *uplinks;
	struct config_network *networks; /* `default` is one where an endpoint is in it */
	struct config_endpoint *endpoints;
	struct config_port *ports;
	size_t nsettings, nuplinks, nnetworks, nendpoints, nports;
	size_t ports_room;
};

/* Reads the file, or stdin for "-", and looks at all that can be judged without the host. 0, or -1 with err, which
 * names the file, the line and the column. */
int config_read(const char *file, struct config *config, struct error *err);
/* What contradicts each other in there: config_read()'s last step. */
int config_check(const struct config *config, struct error *err);
void config_free(struct config *config);
#define _cleanup_config_ __attribute__((cleanup(config_free)))

/* fail(), with the place in front. */
__attribute__((format(printf, 5, 6))) int config_fail(const struct config *config, struct config_place at,
						      struct error *err, enum exit_code code, const char *fmt, ...);

/* What runs, as such a file says it; *left_out counts endpoints that are incomplete. NULL for lack of memory. */
json_t *config_of_host(const struct host *host, size_t *left_out);
/* "host", "none", or addresses; NULL: somebody else's file is in its place. `upstream` is the host's. */
json_t *config_dns_of(const struct endpoint *endpoint, const struct resolvers *upstream);
struct exposure config_exposure_of(const struct host *host, const struct mapping *mapping);

/* The same as YAML, without what says nothing: 0 or -errno. */
int config_write(const json_t *json, FILE *f);

#endif
