/* SPDX-License-Identifier: GPL-2.0-only */
/* Fills in the error that a command prints. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct error *err, enum exit_code code, const char *fmt, ...)
{
	va_list args;

	err->code = code;
	va_start(args, fmt);
	if (vsnprintf(err->text, sizeof(err->text), fmt, args) < 0)
		err->text[0] = '\0';
	va_end(args);

	/* Nothing of ours is other than ASCII; what came from the command line may be bytes that are no text at all. */
	for (char *c = err->text; *c; c++) {
		if (*c < ' ' || *c >= 0x7f)
			*c = '?';
	}
	return -1;
}
