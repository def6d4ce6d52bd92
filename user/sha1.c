/* SPDX-License-Identifier: GPL-2.0-only */
/* SHA-1, with the names of RFC 3174. */
#include "sha1.h"

#include <stdint.h>
#include <string.h>

#define BLOCK 64
#define LENGTH_SIZE 8 /* of the message in bits, at the end of the last block */

static uint32_t rotate(uint32_t word, int bits)
{
	return word << bits | word >> (32 - bits);
}

/* Section 6.1. */
static void process(uint32_t h[5], const unsigned char block[BLOCK])
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (int t = 0; t < 16; t++)
		w[t] = (uint32_t)block[t * 4] << 24 | block[t * 4 + 1] << 16 | block[t * 4 + 2] << 8 | block[t * 4 + 3];
	for (int t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	for (int t = 0; t < 80; t++) {
		uint32_t f, k, temp;

		if (t < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (t < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (t < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		temp = rotate(a, 5) + f + e + w[t] + k;
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = temp;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void sha1(const void *data, size_t size, unsigned char digest[SHA1_SIZE])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	unsigned char last[2 * BLOCK] = { 0 };
	size_t rest = size % BLOCK, padded = rest + 1 + LENGTH_SIZE <= BLOCK ? BLOCK : 2 * BLOCK;
	const unsigned char *bytes = data;

	for (size_t done = 0; done + BLOCK <= size; done += BLOCK)
		process(h, bytes + done);
	/* Section 4: a one bit, zeros, the length. */
	memcpy(last, bytes + size - rest, rest);
	last[rest] = 0x80;
	for (int i = 0; i < LENGTH_SIZE; i++)
		last[padded - 1 - i] = (uint64_t)size * 8 >> i * 8;
	for (size_t done = 0; done < padded; done += BLOCK)
		process(h, last + done);
	for (int i = 0; i < SHA1_SIZE; i++)
		digest[i] = h[i / 4] >> (24 - i % 4 * 8);
}
