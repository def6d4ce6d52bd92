/* SPDX-License-Identifier: GPL-2.0-only */
/* Prometheus' text exposition format, and the file that node_exporter's textfile collector reads. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "metrics.h"

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* Names and reasons are of letters, digits, dots, dashes and underscores: nothing needs an escape. */
static void write_sample(FILE *out, const char *name, const json_t *sample)
{
	json_t *labels = json_object_get(sample, "labels"), *value;
	const char *label, *before = "{";

	fputs(name, out);
	json_object_foreach(labels, label, value)
	{
		fprintf(out, "%s%s=\"%s\"", before, label, json_string_value(value));
		before = ",";
	}
	fprintf(out, "%s %" JSON_INTEGER_FORMAT "\n", json_object_size(labels) ? "}" : "",
		json_integer_value(json_object_get(sample, "value")));
}

void metrics_write(FILE *out, const json_t *families)
{
	const json_t *family, *samples;
	size_t f, s;

	json_array_foreach(families, f, family)
	{
		const char *name = text_of(family, "name");

		samples = json_object_get(family, "samples");
		if (!json_array_size(samples))
			continue;
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, text_of(family, "help"), name,
			text_of(family, "type"));
		for (s = 0; s < json_array_size(samples); s++)
			write_sample(out, name, json_array_get(samples, s));
	}
}

/* Everybody may read it: node_exporter is not root. */
static int fill(int fd, const json_t *families)
{
	FILE *out = fdopen(fd, "w");
	int ret;

	if (!out) {
		ret = -errno;
		close(fd);
		return ret;
	}
	metrics_write(out, families);
	ret = fflush(out) || fchmod(fd, 0644) ? -errno : 0;
	return fclose(out) && !ret ? -errno : ret;
}

int metrics_write_file(const char *path, const json_t *families, struct error *err)
{
	char new[PATH_MAX];
	struct stat there;
	int fd, ret;

	/* A device or a pipe would be replaced by a file. */
	if (!stat(path, &there) && !S_ISREG(there.st_mode))
		return fail(err, EXIT_SYSTEM, "cannot write %s: it is not a plain file", path);
	/* The collector reads *.prom, and so not this. */
	if ((size_t)snprintf(new, sizeof(new), "%s.XXXXXX", path) >= sizeof(new))
		return fail(err, EXIT_SYSTEM, "cannot write %s: %s", path, strerror(ENAMETOOLONG));
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return fail(err, EXIT_SYSTEM, "cannot write %s: %s", path, strerror(errno));
	ret = fill(fd, families);
	if (!ret && rename(new, path))
		ret = -errno;
	if (!ret)
		return 0;
	unlink(new);
	return fail(err, EXIT_SYSTEM, "cannot write %s: %s", path, strerror(-ret));
}
