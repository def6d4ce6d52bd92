/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf save */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "command.h"
#include "config.h"

#define HEAD                                                                                                           \
	"# What nsbpf runs on this host, as `nsbpf save` found it: `nsbpf apply FILE` makes\n"                         \
	"# it so again, `nsbpf diff FILE` tells what is different. See nsbpf-apply(8).\n"

static char *as_yaml(const json_t *json, struct error *err)
{
	size_t size = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, &size);
	int ret;

	if (!f) {
		fail(err, EXIT_SYSTEM, "out of memory");
		return NULL;
	}
	fputs(HEAD, f);
	ret = config_write(json, f);
	if (fclose(f) || ret) {
		free(text);
		fail(err, EXIT_SYSTEM, "cannot put together what runs: %s", strerror(ret ? -ret : errno));
		return NULL;
	}
	return text;
}

/* 0 or -errno; the descriptor is closed in any case. */
static int write_text(int fd, const char *text)
{
	FILE *f = fdopen(fd, "w");
	int ret = 0;

	if (!f) {
		ret = -errno;
		close(fd);
		return ret;
	}
	if (fputs(text, f) < 0 || fflush(f))
		ret = -errno;
	/* Not all that is no file knows it. */
	if (!ret && fsync(fd) && errno != EINVAL && errno != EROFS)
		ret = -errno;
	if (fclose(f) && !ret)
		ret = -errno;
	return ret;
}

/* What a new file gets. */
static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* Beside the file, by a name that nobody has: it may be in a directory that others write to. */
static int replace_regular(const char *path, mode_t mode, const char *text)
{
	char temp[PATH_MAX];
	int fd, ret;

	if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fchmod(fd, mode) ? -errno : 0;
	if (ret)
		close(fd);
	else
		ret = write_text(fd, text);
	if (!ret && rename(temp, path))
		ret = -errno;
	if (ret)
		unlink(temp);
	return ret;
}

/* Whole or not at all; what is no regular file (a pipe, a device, a link to somewhere) is just written to. */
static int replace_file(const char *path, const char *text)
{
	struct stat st;
	int fd;

	if (lstat(path, &st))
		return replace_regular(path, usual_mode(), text);
	if (S_ISREG(st.st_mode))
		return replace_regular(path, st.st_mode & 07777, text);
	fd = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0666);
	return fd < 0 ? -errno : write_text(fd, text);
}

/* Does the file say just this already? */
static bool is_in(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	size_t length = strlen(text);
	_cleanup_free_ char *there = malloc(length + 1);
	struct stat st;

	return f && there && !fstat(fileno(f), &st) && S_ISREG(st.st_mode) && (size_t)st.st_size == length &&
	       fread(there, 1, length, f) == length && !memcmp(there, text, length);
}

/* 1 if done, 0 if the file says so already, -1 with err. */
static int save(const json_t *json, const char *path, struct error *err)
{
	_cleanup_free_ char *text = as_yaml(json, err);
	int ret;

	if (!text)
		return -1;
	if (is_in(path, text))
		return 0;
	ret = replace_file(path, text);
	return ret ? fail(err, EXIT_SYSTEM, "cannot write %s: %s", path, strerror(-ret)) : 1;
}

static int print(json_t *json, struct error *err)
{
	_cleanup_free_ char *text = NULL;

	if (json_output)
		return report_json(json_incref(json));
	text = as_yaml(json, err);
	if (!text)
		return report(err);
	if (fputs(text, stdout) < 0 || fflush(stdout))
		return report(&(struct error){ EXIT_SYSTEM, "cannot write what runs" });
	return EXIT_DONE;
}

static const char *warning_of(size_t left_out, char *text, size_t size)
{
	if (!left_out)
		return NULL;
	snprintf(text, size, "%zu endpoint%s incomplete and left out (see `nsbpf list`)", left_out,
		 left_out == 1 ? " is" : "s are");
	return text;
}

int cmd_save(int argc, char **argv)
{
	const char *warning;
	struct error err;
	struct host host;
	size_t left_out;
	json_t *json;
	char text[128];
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc > 2)
		return report_usage("save takes one file, or none");
	ret = host_open(&host, &err);
	json = ret ? NULL : config_of_host(&host, &left_out);
	host_close(&host);
	if (ret)
		return report(&err);
	if (!json)
		return report(&(struct error){ EXIT_SYSTEM, "cannot read what runs here" });
	warning = warning_of(left_out, text, sizeof(text));
	if (argc == 1 || !strcmp(argv[1], "-")) {
		ret = print(json, &err);
		if (warning)
			report_aside("%s", warning);
	} else {
		ret = save(json, argv[1], &err);
		ret = ret < 0 ? report(&err) : report_change(ret, warning);
	}
	json_decref(json);
	return ret;
}
