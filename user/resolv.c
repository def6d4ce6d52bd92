/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the host's real resolvers and writes /etc/netns/NAME/resolv.conf. */
#include "resolv.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "netns.h"

#define BLANKS " \t\r\n\v\f"

/* Where the local resolvers keep what they forward to. */
static const char *const upstream_files[] = {
	"/etc/resolv.conf",
	"/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
	"/run/resolvconf/resolv.conf",
	"/var/run/dnsmasq/resolv.conf",
};

/* Could a namespace reach it? Not what means "this host" (0.0.0.0 and :: do, too), nor what needs the host's link. */
static bool is_usable(const struct nsbpf_addr *addr)
{
	if (addr_is4(addr) && !addr_to4(addr))
		return false;
	return !addr_is_any(addr) && !addr_is_loopback(addr) && !IN6_IS_ADDR_LINKLOCAL(addr);
}

static void add_server(struct resolvers *resolvers, const char *text, bool usable_only)
{
	struct nsbpf_addr addr;

	/* addr_parse() refuses a %zone */
	if (!text || addr_parse(text, &addr) || (usable_only && !is_usable(&addr)))
		return;
	if (resolvers->nservers < RESOLV_MAX_SERVERS)
		resolvers->servers[resolvers->nservers++] = addr;
}

/* Appends the rest of what strtok_r() took a word from; words that don't fit are left out. */
static void append_words(char *text, size_t size, char **save)
{
	const char *word;

	while ((word = strtok_r(NULL, BLANKS, save))) {
		const char *gap = *text ? " " : "";
		size_t len = strlen(text);

		if (len + strlen(gap) + strlen(word) < size)
			sprintf(text + len, "%s%s", gap, word);
	}
}

/* See resolv.conf(5): the last of `search` and `domain` counts, `options` add up. */
static void parse_line(char *line, struct resolvers *resolvers, bool usable_only)
{
	const char *keyword;
	char *save;

	if (strchr(BLANKS "#;", line[0])) /* an indented keyword is none */
		return;
	keyword = strtok_r(line, BLANKS, &save);
	if (!strcmp(keyword, "nameserver")) {
		add_server(resolvers, strtok_r(NULL, BLANKS, &save), usable_only);
	} else if (!strcmp(keyword, "search") || !strcmp(keyword, "domain")) {
		resolvers->search[0] = '\0';
		append_words(resolvers->search, sizeof(resolvers->search), &save);
	} else if (!strcmp(keyword, "options")) {
		append_words(resolvers->options, sizeof(resolvers->options), &save);
	}
}

/* A missing file is an empty one. */
static int read_resolvers(const char *path, struct resolvers *resolvers, bool usable_only)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	errno = 0;
	while (getline(&line, &size, f) >= 0)
		parse_line(line, resolvers, usable_only);
	return feof(f) ? 0 : -errno;
}

int resolv_upstream_at(const char *root, struct resolvers *resolvers)
{
	struct resolvers found;
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(upstream_files) / sizeof(upstream_files[0]); i++) {
		int ret;

		if (snprintf(path, sizeof(path), "%s%s", root, upstream_files[i]) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		found = (struct resolvers){};
		ret = read_resolvers(path, &found, true);
		if (ret)
			return ret;
		if (found.nservers) {
			*resolvers = found;
			return 0;
		}
	}
	*resolvers = (struct resolvers){};
	return 0;
}

int resolv_upstream(struct resolvers *resolvers)
{
	return resolv_upstream_at("", resolvers);
}

struct paths {
	char top[64];   /* /etc/netns */
	char dir[128];  /* /etc/netns/NAME */
	char file[192]; /* /etc/netns/NAME/resolv.conf */
	char temp[192]; /* becomes that one; of constant name, so that one left by a killed nsbpf is found again */
};

static int make_paths(const char *name, struct paths *paths)
{
	if (name_check(name))
		return -EINVAL;
	snprintf(paths->top, sizeof(paths->top), "%s/etc/netns", root_prefix());
	snprintf(paths->dir, sizeof(paths->dir), "%s/%s", paths->top, name);
	snprintf(paths->file, sizeof(paths->file), "%s/resolv.conf", paths->dir);
	snprintf(paths->temp, sizeof(paths->temp), "%s/.resolv.conf.nsbpf", paths->dir);
	return 0;
}

/* 0755 whatever the umask is; one that exists stays as it is. */
static int make_dir(const char *path)
{
	if (mkdir(path, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	return chmod(path, 0755) < 0 ? -errno : 0;
}

static int remove_dir(const char *path)
{
	if (!rmdir(path) || errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY)
		return 0;
	return -errno;
}

#define MARK "# made by nsbpf\n"

static void print_resolvers(FILE *f, const struct resolvers *resolvers)
{
	char text[ADDR_TEXT];

	fputs(MARK, f);
	for (unsigned int i = 0; i < resolvers->nservers; i++)
		fprintf(f, "nameserver %s\n", addr_format(&resolvers->servers[i], text));
	if (resolvers->search[0])
		fprintf(f, "search %s\n", resolvers->search);
	if (resolvers->options[0])
		fprintf(f, "options %s\n", resolvers->options);
}

static int write_file(const char *path, const struct resolvers *resolvers)
{
	FILE *f = fopen(path, "we");
	int ret = 0;

	if (!f)
		return -errno;
	print_resolvers(f, resolvers);
	if (fflush(f) || fchmod(fileno(f), 0644) < 0)
		ret = -errno;
	if (fclose(f) && !ret)
		ret = -errno;
	return ret;
}

/* The file's beginning; "" if there is none. A whole one of ours fits. */
static void read_file(const char *path, char text[4096])
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	text[f ? fread(text, 1, 4095, f) : 0] = '\0';
}

bool resolv_is_foreign(const char *name)
{
	struct paths paths;
	char text[4096];
	struct stat st;

	if (make_paths(name, &paths) || lstat(paths.file, &st))
		return false;
	read_file(paths.file, text);
	return strncmp(text, MARK, strlen(MARK));
}

bool resolv_is_reachable(const char *name)
{
	struct resolvers found = { 0 };
	struct paths paths;

	if (make_paths(name, &paths))
		return false;
	return !read_resolvers(access(paths.file, R_OK) ? "/etc/resolv.conf" : paths.file, &found, true) &&
	       found.nservers;
}

bool resolv_matches(const char *name, const struct resolvers *resolvers)
{
	char is[4096], should[4096] = "";
	_cleanup_fclose_ FILE *f = fmemopen(should, sizeof(should), "w");
	struct paths paths;

	if (!f || make_paths(name, &paths))
		return false;
	print_resolvers(f, resolvers);
	fflush(f);
	read_file(paths.file, is);
	return !strcmp(is, should);
}

int resolv_read(const char *name, struct resolvers *resolvers)
{
	struct resolvers found = { 0 };
	struct paths paths;
	int ret = make_paths(name, &paths);

	if (!ret)
		ret = read_resolvers(paths.file, &found, false);
	if (!ret)
		*resolvers = found;
	return ret;
}

int resolv_write(const char *name, const struct resolvers *resolvers)
{
	struct paths paths;
	struct stat st;
	int ret;

	ret = make_paths(name, &paths);
	if (ret)
		return ret;
	if (!lstat(paths.file, &st))
		return -EEXIST;

	ret = make_dir(paths.top);
	if (!ret)
		ret = make_dir(paths.dir);
	if (!ret)
		ret = write_file(paths.temp, resolvers);
	/* rename() would replace what somebody wrote meanwhile, and not every file system has RENAME_NOREPLACE */
	if (!ret && link(paths.temp, paths.file) < 0)
		ret = -errno;
	unlink(paths.temp);
	if (ret) {
		remove_dir(paths.dir);
		remove_dir(paths.top);
	}
	return ret;
}

int resolv_remove(const char *name)
{
	struct paths paths;
	int ret;

	ret = make_paths(name, &paths);
	if (ret)
		return ret;
	unlink(paths.temp);
	if (unlink(paths.file) < 0 && errno != ENOENT && errno != ENOTDIR)
		return -errno;
	ret = remove_dir(paths.dir);
	return ret ? ret : remove_dir(paths.top);
}
