/* SPDX-License-Identifier: GPL-2.0-only */
/* From a file to what is wanted. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "config_nodes.h"

#define MAX_FILE (16 << 20) /* bytes: a host that is full has some 2 MB */

/* An endpoint that says no network is in `default`, and that network is wanted where an endpoint is in it. */
static int imply_default(struct reader *r)
{
	struct config *config = r->config;
	bool wanted = false;

	for (size_t i = 0; i < config->nendpoints; i++) {
		struct endpoint_spec *spec = &config->endpoints[i].options.spec;

		if (!spec->network)
			spec->network = NETWORK_DEFAULT;
		wanted = wanted || !strcmp(spec->network, NETWORK_DEFAULT);
	}
	for (size_t i = 0; i < config->nnetworks; i++)
		wanted = wanted && strcmp(config->networks[i].options.name, NETWORK_DEFAULT);
	if (!wanted)
		return 0;
	if (!config->networks)
		config->networks = calloc(1, sizeof(*config->networks));
	if (!config->networks)
		return no_memory(r);
	return network_options_name(&config->networks[config->nnetworks++].options, NETWORK_DEFAULT, r->err);
}

struct input {
	FILE *f;
	size_t size;
	int error;
};

static int read_input(void *data, unsigned char *buffer, size_t size, size_t *size_read)
{
	struct input *input = data;

	*size_read = fread(buffer, 1, size, input->f);
	input->size += *size_read;
	if (ferror(input->f))
		input->error = errno;
	else if (input->size > MAX_FILE)
		input->error = EFBIG;
	return !input->error;
}

static int fail_parser(struct reader *r, const yaml_parser_t *parser, const struct input *input)
{
	const char *file = r->config->file;

	if (input->error)
		return fail(r->err, EXIT_SYSTEM, "cannot read %s: %s", file, strerror(input->error));
	if (parser->error == YAML_MEMORY_ERROR)
		return no_memory(r);
	if (parser->error == YAML_READER_ERROR)
		return fail(r->err, EXIT_USAGE, "%s: byte %zu: %s", file, parser->problem_offset, parser->problem);
	return fail(r->err, EXIT_USAGE, "%s:%zu:%zu: %s", file, parser->problem_mark.line + 1,
		    parser->problem_mark.column + 1, parser->problem);
}

/* The document is loaded already; a second one would go unnoticed. */
static int check_end(struct reader *r, yaml_parser_t *parser, const struct input *input)
{
	yaml_document_t more;
	const yaml_node_t *root;
	int ret = 0;

	if (!yaml_parser_load(parser, &more))
		return fail_parser(r, parser, input);
	root = yaml_document_get_root_node(&more);
	if (root)
		ret = complain(r, root, "a second document begins here: one is all there may be");
	yaml_document_delete(&more);
	return ret;
}

static int read_document(struct reader *r, yaml_parser_t *parser, const struct input *input)
{
	const yaml_node_t *root;
	int ret;

	if (!yaml_parser_load(parser, &r->document))
		return fail_parser(r, parser, input);
	root = yaml_document_get_root_node(&r->document);
	/* Half a file must not mean that everything is to go. */
	if (!root || is_nothing(root))
		ret = fail(r->err, EXIT_USAGE, "%s: there is nothing in it ({} says that nothing shall be)",
			   r->config->file);
	else if (check_end(r, parser, input))
		ret = -1;
	else
		ret = each_pair(r, root, "file", read_section, r->config);
	yaml_document_delete(&r->document);
	return ret;
}

int config_read(const char *file, struct config *config, struct error *err)
{
	bool from_stdin = !strcmp(file, "-");
	_cleanup_fclose_ FILE *f = from_stdin ? NULL : fopen(file, "re");
	struct input input = { .f = from_stdin ? stdin : f };
	struct reader r = { .config = config, .err = err };
	yaml_parser_t parser;
	int ret;

	*config = (struct config){ .file = from_stdin ? "stdin" : file };
	if (!input.f)
		return fail(err, errno == ENOENT ? EXIT_MISSING : EXIT_SYSTEM, "cannot read %s: %s", file,
			    strerror(errno));
	if (!yaml_parser_initialize(&parser))
		return no_memory(&r);
	yaml_parser_set_input(&parser, read_input, &input);
	ret = read_document(&r, &parser, &input);
	yaml_parser_delete(&parser);
	return ret || imply_default(&r) || config_check(config, err) ? -1 : 0;
}

void config_free(struct config *config)
{
	free(config->settings);
	free(config->uplinks);
	free(config->networks);
	free(config->endpoints);
	free(config->ports);
}
