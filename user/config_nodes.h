/* SPDX-License-Identifier: GPL-2.0-only */
/* What the config_*.c files that read YAML share. Only they know libyaml. */
#ifndef NSBPF_CONFIG_NODES_H
#define NSBPF_CONFIG_NODES_H

#include <yaml.h>

#include "config.h"

#define MAX_PAIRS 4096 /* of one mapping: more than there is room for of anything */

struct reader {
	yaml_document_t document;
	struct config *config;
	struct error *err;
};

struct config_place place_of(const yaml_node_t *node);
#define complain(r, node, ...) config_fail((r)->config, place_of(node), (r)->err, EXIT_USAGE, __VA_ARGS__)
int no_memory(struct reader *r);
/* The text of *r->err begins with a key: puts in front where that is. */
int place_error(struct reader *r, const yaml_node_t *node, const char *above);

/* NULL, with err, for anything but one scalar. */
const char *text_of(struct reader *r, const yaml_node_t *node, const char *key);
/* "web:" with nothing behind it. */
bool is_nothing(const yaml_node_t *node);

struct pair {
	const char *key;
	const yaml_node_t *key_node, *value;
	const char *above; /* what it is in: "endpoints.web" */
};

/* Both end with the first that returns non-zero, which is -1 with err. */
typedef int pair_fn(struct reader *r, const struct pair *pair, void *object);
int each_pair(struct reader *r, const yaml_node_t *node, const char *above, pair_fn *fn, void *object);
typedef int item_fn(struct reader *r, const yaml_node_t *item, const char *key, void *object);
int each_item(struct reader *r, const yaml_node_t *node, const char *key, item_fn *fn, void *object);

/* A value, or a list of them as the command line has it: with commas. */
struct joined {
	char text[1024];
	size_t used;
};

const char *value_of(struct reader *r, const yaml_node_t *node, const char *key, struct joined *joined);

/* config_sections.c: one of the file's sections, whatever its key is. */
pair_fn read_section;

#endif
