/* SPDX-License-Identifier: GPL-2.0-only */
/* Nodes of a YAML document, and what is wrong with them. */
#include "config_nodes.h"

#include <stdarg.h>
#include <string.h>

int config_fail(const struct config *config, struct config_place at, struct error *err, enum exit_code code,
		const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!at.line)
		return fail(err, code, "%s: %s", config->file, text);
	return fail(err, code, "%s:%zu:%zu: %s", config->file, at.line, at.column, text);
}

struct config_place place_of(const yaml_node_t *node)
{
	return (struct config_place){ node->start_mark.line + 1, node->start_mark.column + 1 };
}

int no_memory(struct reader *r)
{
	return fail(r->err, EXIT_SYSTEM, "out of memory");
}

const char *text_of(struct reader *r, const yaml_node_t *node, const char *key)
{
	if (node->type != YAML_SCALAR_NODE) {
		complain(r, node, "%s: one value is wanted here", key);
		return NULL;
	}
	if (strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
		complain(r, node, "%s: a value with a NUL in it", key);
		return NULL;
	}
	return (const char *)node->data.scalar.value;
}

bool is_nothing(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

static int check_duplicate(struct reader *r, const yaml_node_t *node, const yaml_node_pair_t *pair, const char *key)
{
	const yaml_node_pair_t *before;

	for (before = node->data.mapping.pairs.start; before < pair; before++) {
		const yaml_node_t *other = yaml_document_get_node(&r->document, before->key);

		if (!strcmp((const char *)other->data.scalar.value, key))
			return complain(r, yaml_document_get_node(&r->document, pair->key), "%s is there twice", key);
	}
	return 0;
}

int each_pair(struct reader *r, const yaml_node_t *node, const char *above, pair_fn *fn, void *object)
{
	const yaml_node_pair_t *pair;

	if (is_nothing(node))
		return 0;
	if (node->type != YAML_MAPPING_NODE)
		return complain(r, node, "%s: `key: value` lines are wanted here", above);
	if (node->data.mapping.pairs.top - node->data.mapping.pairs.start > MAX_PAIRS)
		return complain(r, node, "%s: more than %d keys", above, MAX_PAIRS);
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		struct pair found = { .key_node = yaml_document_get_node(&r->document, pair->key),
				      .value = yaml_document_get_node(&r->document, pair->value),
				      .above = above };

		found.key = text_of(r, found.key_node, above);
		if (!found.key || check_duplicate(r, node, pair, found.key) || fn(r, &found, object))
			return -1;
	}
	return 0;
}

int each_item(struct reader *r, const yaml_node_t *node, const char *key, item_fn *fn, void *object)
{
	const yaml_node_item_t *item;

	if (is_nothing(node))
		return 0;
	if (node->type != YAML_SEQUENCE_NODE)
		return complain(r, node, "%s: a list is wanted here", key);
	for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
		if (fn(r, yaml_document_get_node(&r->document, *item), key, object))
			return -1;
	return 0;
}

static int join(struct reader *r, const yaml_node_t *item, const char *key, void *object)
{
	const char *text = text_of(r, item, key);
	struct joined *joined = object;

	if (!text)
		return -1;
	joined->used += snprintf(joined->text + joined->used, sizeof(joined->text) - joined->used, "%s%s",
				 joined->used ? "," : "", text);
	return joined->used < sizeof(joined->text) ? 0 : complain(r, item, "%s: the list is too long", key);
}

const char *value_of(struct reader *r, const yaml_node_t *node, const char *key, struct joined *joined)
{
	if (node->type != YAML_SEQUENCE_NODE)
		return text_of(r, node, key);
	*joined = (struct joined){ 0 };
	return each_item(r, node, key, join, joined) ? NULL : joined->text;
}

int place_error(struct reader *r, const yaml_node_t *node, const char *above)
{
	struct error inner = *r->err;

	return config_fail(r->config, place_of(node), r->err, inner.code, "%s: %s", above, inner.text);
}
