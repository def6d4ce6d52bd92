/* SPDX-License-Identifier: GPL-2.0-only */
/* What a monitoring system wants to know of a host, in Prometheus' words. */
#ifndef NSBPF_METRICS_H
#define NSBPF_METRICS_H

#include <jansson.h>
#include <stdio.h>

#include "host.h"

/* An array of metric families, as docs/json.md has it; NULL if anything can't be read. */
json_t *metrics_build(const struct host *host);
/* The same in Prometheus' text exposition format. */
void metrics_write(FILE *out, const json_t *families);
/* That into a file: at once, a reader sees the old one or the new one. 0, or -1 with err. */
int metrics_write_file(const char *path, const json_t *families, struct error *err);

#endif
