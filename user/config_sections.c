/* SPDX-License-Identifier: GPL-2.0-only */
/* The sections of a file. */
#include <string.h>

#include "config_nodes.h"

static size_t pairs_of(const yaml_node_t *node)
{
	return node->type == YAML_MAPPING_NODE ? node->data.mapping.pairs.top - node->data.mapping.pairs.start : 0;
}

static int read_setting(struct reader *r, const struct pair *pair, void *object)
{
	const struct setting *setting = setting_find(pair->key);
	struct config *config = object;
	char range[SETTING_TEXT];
	const char *text;
	__u32 value;

	if (!setting)
		return complain(r, pair->key_node, "settings: no setting %s (`nsbpf get` lists them)", pair->key);
	text = text_of(r, pair->value, pair->key);
	if (!text)
		return -1;
	if (setting_parse(setting, text, &value))
		return complain(r, pair->value, "settings: %s %s: %s is wanted", pair->key, text,
				setting_range(setting, range));
	config->settings[config->nsettings++] = (struct config_setting){ place_of(pair->key_node), setting, value };
	return 0;
}

static int read_uplink(struct reader *r, const yaml_node_t *item, const char *key, void *object)
{
	const char *name = text_of(r, item, key);
	struct config *config = object;
	struct config_uplink *uplink = &config->uplinks[config->nuplinks];

	if (!name)
		return -1;
	if (!*name || strlen(name) >= sizeof(uplink->name))
		return complain(r, item, "uplinks: '%s' is no device's name", name);
	for (size_t i = 0; i < config->nuplinks; i++)
		if (!strcmp(config->uplinks[i].name, name))
			return complain(r, item, "uplinks: %s is there twice", name);
	if (config->nuplinks == NSBPF_MAX_UPLINKS)
		return complain(r, item, "uplinks: there is room for %d only", NSBPF_MAX_UPLINKS);
	uplink->at = place_of(item);
	strcpy(uplink->name, name);
	config->nuplinks++;
	return 0;
}

static int read_network_key(struct reader *r, const struct pair *pair, void *object)
{
	struct joined joined;
	const char *text;

	if (network_options_know(pair->key, r->err))
		return place_error(r, pair->key_node, pair->above);
	if (is_nothing(pair->value))
		return 0;
	text = value_of(r, pair->value, pair->key, &joined);
	if (!text)
		return -1;
	return network_options_take(object, pair->key, text, r->err) ? place_error(r, pair->value, pair->above) : 0;
}

static int read_network(struct reader *r, const struct pair *pair, void *object)
{
	struct config *config = object;
	struct config_network *network = &config->networks[config->nnetworks++];
	char above[NSBPF_NAME_MAX + 16];

	network->at = place_of(pair->key_node);
	if (network_options_name(&network->options, pair->key, r->err))
		return place_error(r, pair->key_node, "networks");
	snprintf(above, sizeof(above), "networks.%s", pair->key);
	if (each_pair(r, pair->value, above, read_network_key, &network->options))
		return -1;
	return network_options_settle(&network->options, "", r->err) ? place_error(r, pair->key_node, above) : 0;
}

static int read_source(struct reader *r, const yaml_node_t *item, const char *key, void *object)
{
	const char *text = text_of(r, item, key);

	if (!text)
		return -1;
	return exposure_take_source(object, text, r->err) ? place_error(r, item, key) : 0;
}

/* One entry for each protocol. */
static int append_port(struct reader *r, const yaml_node_t *node, const struct exposure *exposure)
{
	struct config *config = r->config;
	struct config_port *ports = config->ports;

	if (config->nports + 2 > NSBPF_MAX_MAPPINGS)
		return complain(r, node, "ports: there is room for %d only", NSBPF_MAX_MAPPINGS);
	if (config->nports + 2 > config->ports_room) {
		ports = reallocarray(ports, config->ports_room * 2 + 64, sizeof(*ports));
		if (!ports)
			return no_memory(r);
		config->ports = ports;
		config->ports_room = config->ports_room * 2 + 64;
	}
	for (int udp = 0; udp <= 1; udp++) {
		if (udp ? !exposure->ports.udp : !exposure->ports.tcp)
			continue;
		ports[config->nports] = (struct config_port){ place_of(node), *exposure };
		ports[config->nports].exposure.ports.tcp = !udp;
		ports[config->nports++].exposure.ports.udp = udp;
	}
	return 0;
}

struct port_nodes {
	const yaml_node_t *ports, *from;
};

static int find_port_nodes(struct reader *r, const struct pair *pair, void *object)
{
	struct port_nodes *nodes = object;

	if (!strcmp(pair->key, "ports"))
		nodes->ports = pair->value;
	else if (!strcmp(pair->key, "from"))
		nodes->from = pair->value;
	else
		return complain(r, pair->key_node, "%s: '%s' is no key here: ports and from are", pair->above,
				pair->key);
	return 0;
}

static int read_port(struct reader *r, const yaml_node_t *item, const char *key, void *object)
{
	struct port_nodes nodes = { .ports = item };
	struct exposure exposure = { 0 };
	const char *text;

	if (item->type == YAML_MAPPING_NODE) {
		nodes.ports = NULL;
		if (each_pair(r, item, key, find_port_nodes, &nodes))
			return -1;
		if (!nodes.ports)
			return complain(r, item, "%s: `ports` is missing", key);
	}
	strcpy(exposure.endpoint, object);
	text = text_of(r, nodes.ports, key);
	if (!text)
		return -1;
	if (exposure_take_ports(&exposure, text, r->err))
		return place_error(r, nodes.ports, key);
	if (nodes.from && nodes.from->type == YAML_SCALAR_NODE && !is_nothing(nodes.from)) {
		if (read_source(r, nodes.from, key, &exposure))
			return -1;
	} else if (nodes.from && each_item(r, nodes.from, key, read_source, &exposure)) {
		return -1;
	}
	return append_port(r, item, &exposure);
}

static int read_endpoint_key(struct reader *r, const struct pair *pair, void *object)
{
	struct endpoint_options *options = object;
	struct joined joined;
	const char *text;

	if (!strcmp(pair->key, "ports"))
		return each_item(r, pair->value, pair->above, read_port, options->name);
	if (endpoint_options_know(pair->key, r->err))
		return place_error(r, pair->key_node, pair->above);
	if (is_nothing(pair->value))
		return 0;
	text = value_of(r, pair->value, pair->key, &joined);
	if (!text)
		return -1;
	return endpoint_options_take(options, pair->key, text, r->err) ? place_error(r, pair->value, pair->above) : 0;
}

static int read_endpoint(struct reader *r, const struct pair *pair, void *object)
{
	struct config *config = object;
	struct config_endpoint *endpoint = &config->endpoints[config->nendpoints++];
	char above[NSBPF_NAME_MAX + 16];

	endpoint->at = place_of(pair->key_node);
	if (endpoint_options_name(&endpoint->options, pair->key, r->err))
		return place_error(r, pair->key_node, "endpoints");
	snprintf(above, sizeof(above), "endpoints.%s", pair->key);
	return each_pair(r, pair->value, above, read_endpoint_key, &endpoint->options);
}

/* Makes room for what a section holds, where options stay in their places. */
int read_section(struct reader *r, const struct pair *pair, void *object)
{
	struct config *config = object;
	size_t count = pairs_of(pair->value) + 1; /* and what is implied */

	if (!strcmp(pair->key, "uplinks")) {
		config->uplinks = calloc(NSBPF_MAX_UPLINKS, sizeof(*config->uplinks));
		return config->uplinks ? each_item(r, pair->value, pair->key, read_uplink, config) : no_memory(r);
	}
	if (count > MAX_PAIRS)
		return complain(r, pair->value, "%s: more than %d keys", pair->key, MAX_PAIRS);
	if (!strcmp(pair->key, "settings")) {
		config->settings = calloc(count, sizeof(*config->settings));
		return config->settings ? each_pair(r, pair->value, pair->key, read_setting, config) : no_memory(r);
	}
	if (!strcmp(pair->key, "networks")) {
		config->networks = calloc(count, sizeof(*config->networks));
		return config->networks ? each_pair(r, pair->value, pair->key, read_network, config) : no_memory(r);
	}
	if (!strcmp(pair->key, "endpoints")) {
		config->endpoints = calloc(count, sizeof(*config->endpoints));
		return config->endpoints ? each_pair(r, pair->value, pair->key, read_endpoint, config) : no_memory(r);
	}
	return complain(r, pair->key_node, "'%s' is no key here: settings, uplinks, networks and endpoints are",
			pair->key);
}
