/* SPDX-License-Identifier: GPL-2.0-only */
/* Exposed ports. The table in the map is the only one there is; the datapath searches the half that is published. */
#ifndef NSBPF_MAPPINGS_H
#define NSBPF_MAPPINGS_H

#include "exposure.h"
#include "host.h"

int mapping_each(const struct host *host, int (*each)(const struct mapping *mapping, void *arg), void *arg);

/* 1 if done, 0 if already so, -1 with err. Either all of the ports (tcp and udp) is done, or nothing. */
int mapping_add(struct host *host, const struct exposure *exposure, struct error *err);
/* Ends the connections that came through it, too. */
int mapping_delete(struct host *host, const char *endpoint, const struct port_spec *spec, struct error *err);
int mappings_delete_of_endpoint(struct host *host, unsigned int slot, struct error *err);

/* "tcp/5000" or "udp/127.0.0.1:5000-5010". */
#define MAPPING_TEXT 80
const char *mapping_format(const struct mapping *mapping, char text[MAPPING_TEXT]);

#endif
