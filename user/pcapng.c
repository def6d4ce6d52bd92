/* SPDX-License-Identifier: GPL-2.0-only */
/* Blocks of 32-bit words in this machine's byte order, each with its length at both ends. */
#include "pcapng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0a
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET 6
#define BYTE_ORDER_MAGIC 0x1a2b3c4d
#define LINKTYPE_ETHERNET 1

#define OPT_COMMENT 1
#define SHB_USERAPPL 4
#define IF_NAME 2
#define IF_TSRESOL 9
#define EPB_FLAGS 2

#define TSRESOL_NS 9 /* 10^-9 s */
#define INBOUND 1
#define OUTBOUND 2

struct option {
	__u16 code;
	__u16 length;
	const void *value;
};

static __u32 padded(__u32 length)
{
	return (length + 3) & ~3U;
}

static __u32 options_size(const struct option *options, size_t count)
{
	__u32 size = sizeof(__u32); /* of the one that ends them */

	for (size_t i = 0; i < count; i++)
		size += sizeof(__u32) + padded(options[i].length);
	return size;
}

static void write_padded(FILE *file, const void *bytes, __u32 length)
{
	static const char zeros[3];

	fwrite(bytes, length, 1, file);
	fwrite(zeros, padded(length) - length, 1, file);
}

static void write_options(FILE *file, const struct option *options, size_t count)
{
	static const struct option end;

	for (size_t i = 0; i < count; i++) {
		fwrite(&options[i].code, sizeof(__u16), 1, file);
		fwrite(&options[i].length, sizeof(__u16), 1, file);
		write_padded(file, options[i].value, options[i].length);
	}
	fwrite(&end, sizeof(__u32), 1, file);
}

struct body {
	const void *fixed;
	__u32 fixed_length;
	const void *bytes; /* of a packet, or NULL */
	__u32 length;
	const struct option *options;
	size_t count;
};

static int write_block(FILE *file, __u32 type, const struct body *body)
{
	__u32 size = 3 * sizeof(__u32) + body->fixed_length + padded(body->length) +
		     options_size(body->options, body->count);

	fwrite(&type, sizeof(type), 1, file);
	fwrite(&size, sizeof(size), 1, file);
	fwrite(body->fixed, body->fixed_length, 1, file);
	if (body->length)
		write_padded(file, body->bytes, body->length);
	write_options(file, body->options, body->count);
	fwrite(&size, sizeof(size), 1, file);
	return ferror(file) ? -errno : 0;
}

int pcapng_begin(struct pcapng *pcapng, FILE *file, __u32 snaplen)
{
	static const char name[] = "nsbpf " NSBPF_VERSION;
	const struct option options[] = { { SHB_USERAPPL, sizeof(name) - 1, name } };
	const struct {
		__u32 magic;
		__u16 major, minor;
		__u64 length; /* of the section: not known */
	} fixed = { BYTE_ORDER_MAGIC, 1, 0, ~0ULL };

	*pcapng = (struct pcapng){ .file = file, .snaplen = snaplen };
	return write_block(file, BLOCK_SECTION, &(struct body){ &fixed, sizeof(fixed), NULL, 0, options, 1 });
}

/* The number of the device in the file, which is told of it if it is new; or -errno. */
static int find_device(struct pcapng *pcapng, unsigned int ifindex, const char *name)
{
	static const __u8 resolution = TSRESOL_NS;
	const struct option options[] = { { IF_NAME, strlen(name), name }, { IF_TSRESOL, 1, &resolution } };
	const struct {
		__u16 linktype, reserved;
		__u32 snaplen;
	} fixed = { LINKTYPE_ETHERNET, 0, pcapng->snaplen };
	unsigned int *more;
	int ret;

	for (size_t i = 0; i < pcapng->count; i++)
		if (pcapng->devices[i] == ifindex)
			return i;
	more = realloc(pcapng->devices, (pcapng->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	pcapng->devices = more;
	ret = write_block(pcapng->file, BLOCK_INTERFACE, &(struct body){ &fixed, sizeof(fixed), NULL, 0, options, 2 });
	if (ret)
		return ret;
	pcapng->devices[pcapng->count] = ifindex;
	return pcapng->count++;
}

int pcapng_write(struct pcapng *pcapng, const struct pcapng_packet *packet)
{
	const __u32 flags = packet->outbound ? OUTBOUND : INBOUND;
	const struct option options[] = { { OPT_COMMENT, strlen(packet->comment), packet->comment },
					  { EPB_FLAGS, sizeof(flags), &flags } };
	int device = find_device(pcapng, packet->ifindex, packet->device);
	struct {
		__u32 device, time_high, time_low, captured, length;
	} fixed = { device, packet->time >> 32, packet->time, packet->captured, packet->length };

	if (device < 0)
		return device;
	return write_block(pcapng->file, BLOCK_PACKET,
			   &(struct body){ &fixed, sizeof(fixed), packet->bytes, packet->captured, options, 2 });
}

void pcapng_end(struct pcapng *pcapng)
{
	free(pcapng->devices);
	*pcapng = (struct pcapng){ 0 };
}
