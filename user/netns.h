/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Named network namespaces as `ip netns` keeps them (/run/netns), and the mount namespace in which they, bpffs and
 * cgroup2 are looked for. `ip netns exec` gives its command a mount namespace with another /sys, in which mounts end
 * with the command; so whatever has to stay is looked up, and mounted, in that of process 1.
 */
#ifndef NSBPF_NETNS_H
#define NSBPF_NETNS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Below, "process 1" is the oldest ancestor within reach where process 1 itself is not (it may have capabilities that
 * root of a sandbox lacks). */

/* "" if the caller shares its mount namespace with process 1, else "/proc/PID/root". Prefixed to an absolute path it
 * names the file as process 1 sees it. */
#define ROOT_PREFIX_MAX (sizeof("/proc//root") + 10)
const char *root_prefix(void);
/* Runs work(arg) in a child in process 1's mount namespace (just a child if that is our own). Returns what work
 * returned (0 or -errno), or -errno if the child could not run. The child has the caller's descriptors. */
int run_in_root(int (*work)(void *arg), void *arg);

/* Path of the first mount of fstype ("bpf", "cgroup2") that process 1 sees and whose root is "/", with root_prefix()
 * before it; of several, `preferred` if it is among them. -ENOENT if there is none. Reads /proc/1/mountinfo (or
 * /proc/self/mountinfo where root_prefix() is "") and undoes its octal escapes. */
int mount_find(const char *fstype, const char *preferred, char path[PATH_MAX]);

/* 0 and the inode of the namespace in nsfs; -ENOENT: no file of that name; -EINVAL: a file, but no namespace on it. */
int netns_get(const char *name, ino_t *ino);
/* Descriptor of the namespace, or -errno as netns_get(). */
int netns_open(const char *name);
/*
 * Makes a new network namespace and mounts it on /run/netns/NAME the way iproute2 does (directory made and made a
 * shared mount if need be, file O_EXCL mode 0), lo up. The caller stays where it is. -EEXIST if there is such a file
 * and a namespace on it; a left-over file with nothing mounted on it is used. Undoes everything on failure, except that
 * the directory stays: others may be using it by then.
 */
int netns_add(const char *name);
/* Unmounts and removes the name. -ENOENT. The namespace itself ends with its last process. */
int netns_delete(const char *name);

/* The caller's network namespace: SO_NETNS_COOKIE, unique until reboot. */
int netns_cookie(unsigned long long *cookie);

/*
 * Does what `ip netns exec` does before it runs its command, for a process about to exec: enters the namespace behind
 * fd, takes a private mount namespace (everything rslave), mounts a sysfs of that namespace on /sys (what was mounted
 * below /sys/fs/cgroup and /sys/fs/bpf is bound into the new one, so that both stay visible), and binds each entry of
 * /etc/netns/NAME over the one of the same name in /etc, if there is one.
 */
int netns_enter(int fd, const char *name);

#endif
