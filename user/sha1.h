/* SPDX-License-Identifier: GPL-2.0-only */
/* SHA-1 (RFC 3174): RFC 4193 makes identifiers with it. Nothing here is a secret. */
#ifndef NSBPF_SHA1_H
#define NSBPF_SHA1_H

#include <stddef.h>

#define SHA1_SIZE 20

void sha1(const void *data, size_t size, unsigned char digest[SHA1_SIZE]);

#endif
