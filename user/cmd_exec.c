/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf exec, nsbpf shell. The command takes this process's place, so signals and its exit code need no passing on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "endpoints.h"
#include "netns.h"

/* As shells have it: the command was found but can't be run, or was not found. */
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

static int enter(const char *name, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct endpoint endpoint;
	struct host host;
	int ret;

	ret = host_open(&host, err) || endpoint_require(&host, name, &endpoint, err) < 0 ? -1 : 0;
	host_close(&host);
	if (ret)
		return -1;
	fd = netns_open(name);
	ret = fd < 0 ? fd : netns_enter(fd, name);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot enter namespace %s: %s", name, strerror(-ret));
	return 0;
}

static int run_command(char **command)
{
	struct error err;
	int cause;

	execvp(command[0], command);
	cause = errno;
	fail(&err, EXIT_SYSTEM, "cannot run %s: %s", command[0], strerror(cause));
	report(&err);
	return cause == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

int cmd_exec(int argc, char **argv)
{
	char **command = argv + 2;
	struct error err;

	if (argc > 2 && !strcmp(command[0], "--")) {
		command++;
		argc--;
	}
	if (argc < 3)
		return report_usage("exec takes a name and a command (`nsbpf help exec`)");
	if (name_check(argv[1]))
		return report_usage("'%s' is no name", argv[1]);
	if (enter(argv[1], &err))
		return report(&err);
	return run_command(command);
}

/* bash sets its prompt from its own files after all of the environment, so the prompt comes behind them. */
static int write_bash_rc(const char *name)
{
	int fd = memfd_create("nsbpf-shell", 0);

	if (fd < 0 || dprintf(fd, "[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='[%s] '\"$PS1\"\n", name) < 0)
		return -1;
	return fd;
}

int cmd_shell(int argc, char **argv)
{
	const char *shell = getenv("SHELL"), *base;
	char rc[64], prompt[NSBPF_NAME_MAX + 16];
	struct error err;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("shell takes one name");
	if (name_check(argv[1]))
		return report_usage("'%s' is no name", argv[1]);
	if (enter(argv[1], &err))
		return report(&err);
	if (!shell || !*shell)
		shell = "/bin/sh";
	snprintf(prompt, sizeof(prompt), "[%s] # ", argv[1]);
	if (setenv("PS1", prompt, 1) || setenv("NSBPF_ENDPOINT", argv[1], 1))
		return report(&(struct error){ EXIT_SYSTEM, "out of memory" });
	base = strrchr(shell, '/');
	if (!strcmp(base ? base + 1 : shell, "bash")) {
		int fd = write_bash_rc(argv[1]);

		if (fd >= 0) {
			snprintf(rc, sizeof(rc), "/proc/self/fd/%d", fd);
			return run_command((char *[]){ (char *)shell, "--rcfile", rc, NULL });
		}
	}
	return run_command((char *[]){ (char *)shell, NULL });
}
