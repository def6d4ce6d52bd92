/* SPDX-License-Identifier: GPL-2.0-only */
/* What endpoint_add.c, endpoint_make.c and endpoint_delete.c share. */
#ifndef NSBPF_ENDPOINT_INTERNAL_H
#define NSBPF_ENDPOINT_INTERNAL_H

#include "endpoints.h"
#include "networks.h"

/* A host veth's alias begins with this, so that no other device is ever taken for one. */
#define ENDPOINT_ALIAS "nsbpf endpoint "

int endpoint_write(const struct host *host, unsigned int slot, const struct endpoint *endpoint, struct error *err);
/* All that the record says, in an order that ends with packets being let through; then it is ready. On failure the
 * caller removes what there is. */
int endpoint_make(struct host *host, unsigned int slot, struct endpoint *endpoint, const struct network *network,
		  struct endpoint_spec *spec, struct error *err);
/* Takes away whatever there is of it, complete or not, and frees the slot. Can be repeated until it succeeds. */
int endpoint_remove(struct host *host, unsigned int slot, struct endpoint *endpoint, bool keep, struct error *err);

#endif
