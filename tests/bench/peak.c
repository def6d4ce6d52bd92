/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs a command with its output thrown away, and prints the most memory that it had, in KiB. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A program of its own, and a small one: a process inherits its parent's peak. */
int main(int argc, char **argv)
{
	struct rusage usage;
	int status, null;
	pid_t pid;

	if (argc < 2)
		return EXIT_FAILURE;
	pid = fork();
	if (!pid) {
		null = open("/dev/null", O_WRONLY);
		if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(EXIT_FAILURE);
		execv(argv[1], argv + 1);
		_exit(EXIT_FAILURE);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		return EXIT_FAILURE;
	printf("%ld\n", usage.ru_maxrss);
	return EXIT_SUCCESS;
}
