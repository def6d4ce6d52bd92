/* SPDX-License-Identifier: GPL-2.0-only */
/* How domain code tells a command what went wrong: it fills in an error, the command prints it and exits. */
#ifndef NSBPF_ERROR_H
#define NSBPF_ERROR_H

enum exit_code {
	EXIT_DONE = 0,
	EXIT_USAGE = 1,    /* the words of the command are wrong */
	EXIT_SYSTEM = 2,   /* the kernel or the system refused */
	EXIT_MISSING = 3,  /* no such object */
	EXIT_CONFLICT = 4, /* the text names who holds the port, address or name */
	EXIT_DRIFT = 5,    /* what is differs from what should be */
};

struct error {
	enum exit_code code;
	char text[512]; /* one line: the object and the cause, no "nsbpf: ", no newline */
};

/* Fills in *err and returns -1, so that a function can end with `return fail(err, ...)`. Control characters in the
 * result are replaced by '?', so that a hostile name can't forge lines. */
__attribute__((format(printf, 3, 4))) int fail(struct error *err, enum exit_code code, const char *fmt, ...);

#endif
