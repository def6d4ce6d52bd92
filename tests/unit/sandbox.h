/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs tests where they can touch nothing of the machine: their own mounts, processes, network, /run and /etc. */
#ifndef NSBPF_TEST_SANDBOX_H
#define NSBPF_TEST_SANDBOX_H

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* False without root or where the kernel refuses: tests that need the sandbox then skip(). */
static bool sandboxed;

static inline void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0) {
		perror(path);
		exit(1);
	}
}

/* Exit status of a child that runs work(arg), 128 + the signal that killed it. */
static inline int in_child(int (*work)(const void *arg), const void *arg)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(work(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 255;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline bool set_up_sandbox(void)
{
	if (mount("", "/", "none", MS_PRIVATE | MS_REC, NULL) < 0)
		return false;
	/* our copies of what the machine has there */
	while (!umount2("/run/netns", MNT_DETACH) || !umount2("/sys/fs/bpf", MNT_DETACH))
		;
	if (mount("proc", "/proc", "proc", 0, NULL) < 0 || mount("run", "/run", "tmpfs", 0, "mode=755") < 0 ||
	    mount("etc", "/etc", "tmpfs", 0, "mode=755") < 0)
		return false;
	put_file("/etc/hosts", "127.0.0.1 localhost\n");
	put_file("/etc/resolv.conf", "nameserver 192.0.2.53\n");
	/* among ourselves mounts are shared, as systemd has it on the hosts that nsbpf is for */
	return !mount("", "/", "none", MS_SHARED | MS_REC, NULL);
}

static inline int sandbox_tests(const void *arg)
{
	int (*const *tests)(void) = arg;

	exit((*tests)()); /* not just _exit(): LeakSanitizer looks at exit */
}

/* Process 1 of the sandbox: the tests are its child, as signals don't end a process 1. */
static inline int sandbox_init(const void *tests)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sandboxed = set_up_sandbox();
	if (!sandboxed)
		perror("no sandbox");
	return in_child(sandbox_tests, tests);
}

/* Runs the tests, in the sandbox if possible. Returns, or exits with, what they returned. */
static inline int sandbox(int (*tests)(void))
{
	if (!geteuid() && !unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET))
		_exit(in_child(sandbox_init, &tests)); /* not exit(): without a process 1 we could start no thread */
	printf("no sandbox, so some tests are skipped\n");
	return tests();
}

#endif
