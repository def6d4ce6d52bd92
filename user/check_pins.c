/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Are all pins there? Without one of a map no command can do anything, though packets still go: the programs hold their
 * maps. So what is missing is looked for among the programs that the kernel has loaded, and pinned again.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cleanup.h"

#define MAX_MAPS 64 /* of one program, or pinned */

static const char *const programs[] = { "from_endpoint", "to_endpoint", "from_uplink", "end_connection",
					"review_connection" };

#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

/* What this host has, whether it is pinned or not: its programs are those that use one of its maps. */
struct own {
	struct check *check;
	__u32 maps[MAX_MAPS];
	unsigned int count;
	bool found[PROGRAMS]; /* pinned, or loaded at least */
};

static bool has_map(const struct own *own, __u32 id)
{
	for (unsigned int i = 0; i < own->count; i++)
		if (own->maps[i] == id)
			return true;
	return false;
}

static void note_map(struct own *own, __u32 id)
{
	if (own->count < MAX_MAPS && !has_map(own, id))
		own->maps[own->count++] = id;
}

/* 0 or -errno. */
static int program_maps(int program, struct bpf_prog_info *info, __u32 ids[MAX_MAPS])
{
	__u32 size = sizeof(*info);

	*info = (struct bpf_prog_info){ .nr_map_ids = MAX_MAPS, .map_ids = (__u64)(uintptr_t)ids };
	if (bpf_obj_get_info_by_fd(program, info, &size))
		return -errno;
	if (info->nr_map_ids > MAX_MAPS)
		info->nr_map_ids = MAX_MAPS;
	return 0;
}

static void note_maps_of(struct own *own, int program)
{
	struct bpf_prog_info info;
	__u32 ids[MAX_MAPS];

	if (program < 0 || program_maps(program, &info, ids))
		return;
	for (__u32 i = 0; i < info.nr_map_ids; i++)
		note_map(own, ids[i]);
}

/* A pinned map of a name that nobody else's directory has. */
static void note_pinned(struct own *own)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < PROGRAMS; i++) {
		_cleanup_close_ int program = -1;

		host_path(own->check->host, "programs", programs[i], path);
		program = bpf_obj_get(path);
		own->found[i] = program >= 0;
		note_maps_of(own, program);
	}
	if (!own->count) {
		struct bpf_map_info info = { 0 };
		_cleanup_close_ int map = -1;
		__u32 size = sizeof(info);

		host_path(own->check->host, "maps", "settings", path);
		map = bpf_obj_get(path);
		if (map >= 0 && !bpf_obj_get_info_by_fd(map, &info, &size))
			note_map(own, info.id);
	}
}

static void repin(struct check *check, const char *sub, const char *name, int fd)
{
	char path[PATH_MAX], what[CHECK_TEXT];

	host_path(check->host, sub, name, path);
	if (!access(path, F_OK))
		return;
	snprintf(what, sizeof(what), "%s/%s", sub, name);
	if (check_differs(check, what, "pinned", "missing"))
		check_outcome(check, bpf_obj_pin(fd, path) ? -errno : 0);
}

/* The kernel cuts long names. */
static bool is_named(const struct bpf_prog_info *info, const char *name)
{
	return !strncmp(info->name, name, sizeof(info->name) - 1);
}

static void look_at_program(struct own *own, int program)
{
	struct bpf_prog_info info;
	__u32 ids[MAX_MAPS], i;

	if (program_maps(program, &info, ids))
		return;
	for (i = 0; i < info.nr_map_ids && !has_map(own, ids[i]); i++)
		;
	if (i == info.nr_map_ids)
		return;
	for (i = 0; i < info.nr_map_ids; i++)
		note_map(own, ids[i]);
	for (i = 0; i < PROGRAMS; i++) {
		if (own->found[i] || !is_named(&info, programs[i]))
			continue;
		own->found[i] = true;
		repin(own->check, "programs", programs[i], program);
	}
}

static void look_at_programs(struct own *own)
{
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		_cleanup_close_ int program = bpf_prog_get_fd_by_id(id);

		if (program >= 0)
			look_at_program(own, program);
	}
}

/*
 * Read-only data and the like, which libbpf makes, have a dot in their names, and no pin but for the one that commands
 * write (datapath_pin_name()).
 */
static const char *pin_name(const struct bpf_map_info *info)
{
	static const char heard[] = ".data.packets_heard";

	if (!strchr(info->name, '.'))
		return info->name;
	return !strncmp(info->name, heard, sizeof(info->name) - 1) ? "packets_heard" : NULL;
}

static void look_at_maps(struct own *own)
{
	for (unsigned int i = 0; i < own->count; i++) {
		_cleanup_close_ int map = bpf_map_get_fd_by_id(own->maps[i]);
		struct bpf_map_info info = { 0 };
		__u32 size = sizeof(info);

		if (map >= 0 && !bpf_obj_get_info_by_fd(map, &info, &size) && pin_name(&info))
			repin(own->check, "maps", pin_name(&info), map);
	}
}

void check_pins(struct check *check)
{
	struct own own = { .check = check };
	char what[CHECK_TEXT];

	check_object(check, "host");
	note_pinned(&own);
	look_at_programs(&own);
	look_at_maps(&own);
	for (size_t i = 0; i < PROGRAMS; i++) {
		if (own.found[i])
			continue;
		snprintf(what, sizeof(what), "programs/%s", programs[i]);
		check_differs(check, what, "pinned", "gone");
		check_advise(check, "`nsbpf down` and beginning anew brings it back");
	}
}
