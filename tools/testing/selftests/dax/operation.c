// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "operation.h"

/* Operations: each returns 0 or an errno, as exit status of its process. */

static int truncate_perform(struct scene *s)
{
	return syscall(SYS_ftruncate, s->victim.fd, s->from) ? errno : 0;
}

static int fallocate_perform(struct scene *s, int mode)
{
	return syscall(SYS_fallocate, s->victim.fd, mode, s->from, s->len) ?
		errno : 0;
}

static int punch_hole_perform(struct scene *s)
{
	return fallocate_perform(s, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static int collapse_range_perform(struct scene *s)
{
	return fallocate_perform(s, FALLOC_FL_COLLAPSE_RANGE);
}

static int insert_range_perform(struct scene *s)
{
	return fallocate_perform(s, FALLOC_FL_INSERT_RANGE);
}

static int open_trunc_perform(struct scene *s)
{
	return syscall(SYS_openat, AT_FDCWD, s->victim.path,
		       O_WRONLY | O_TRUNC, 0) < 0 ? errno : 0;
}

static int unlink_close_perform(struct scene *s)
{
	int fd = open(s->victim.path, O_RDWR);

	if (fd < 0 || unlink(s->victim.path))
		return errno;
	return syscall(SYS_close, fd) ? errno : 0;
}

static int rename_over_perform(struct scene *s)
{
	return syscall(SYS_renameat2, AT_FDCWD, s->lower.path,
		       AT_FDCWD, s->victim.path, 0) ? errno : 0;
}

static int unmount_perform(struct scene *s)
{
	return syscall(SYS_umount2, provider_dir(s->fs), 0) ? errno : 0;
}

static int reflink_from(struct scene *s, struct dax_file *source)
{
	struct file_clone_range range = {
		.src_fd = source->fd,
		.src_length = s->len,
		.dest_offset = s->from,
	};

	return syscall(SYS_ioctl, s->victim.fd, FICLONERANGE, &range) ?
		errno : 0;
}

static int reflink_from_lower_perform(struct scene *s)
{
	return reflink_from(s, &s->lower);
}

static int reflink_from_higher_perform(struct scene *s)
{
	return reflink_from(s, &s->higher);
}

static int dedupe_over_perform(struct scene *s)
{
	char room[sizeof(struct file_dedupe_range) +
		  sizeof(struct file_dedupe_range_info)] = { 0 };
	struct file_dedupe_range *range = (struct file_dedupe_range *)room;

	range->src_length = s->len;
	range->dest_count = 1;
	range->info[0].dest_fd = s->victim.fd;
	range->info[0].dest_offset = s->from;
	if (syscall(SYS_ioctl, s->lower.fd, FIDEDUPERANGE, range))
		return errno;
	if (range->info[0].status < 0)
		return -range->info[0].status;
	return range->info[0].status == FILE_DEDUPE_RANGE_SAME &&
	       range->info[0].bytes_deduped == (__u64)s->len ? 0 : EIO;
}

static off_t write_at(const struct scene *s)
{
	return 2 * (off_t)s->unit;
}

static int write_perform(struct scene *s)
{
	return syscall(SYS_pwrite64, s->victim.fd, &s->victim.fill, 1,
		       write_at(s) + 1) == 1 ? 0 : errno;
}

static int store_perform(struct scene *s)
{
	__atomic_store_n(s->victim.map + write_at(s), s->victim.fill,
			 __ATOMIC_RELAXED);
	return 0;
}

static int write_beyond_perform(struct scene *s)
{
	return syscall(SYS_pwrite64, s->victim.fd, &s->victim.fill, 1,
		       (off_t)s->victim.size + 2 * (off_t)s->unit) == 1 ?
		0 : errno;
}

/* The process that operates holds the pin itself, and the file mapped. */
static int victim_pin(struct scene *s)
{
	s->victim.fd = open(s->victim.path, O_RDWR);
	if (s->victim.fd < 0 || file_map(&s->victim, s->align) < 0 ||
	    pin_open(&s->pin) ||
	    pin_page(&s->pin, s->victim.map, s->victim.fill))
		return errno;
	return 0;
}

static int victim_pin_and_unlink(struct scene *s)
{
	int error = victim_pin(s);

	if (error)
		return error;
	return unlink(s->victim.path) ? errno : 0;
}

static int unmount_with_pin_perform(struct scene *s)
{
	int error = victim_pin(s);

	if (error)
		return error;
	file_close(&s->victim);
	return unmount_perform(s);
}

/* Nobody else has the filesystem mounted, so to exit is to unmount it. */
static int exit_with_mount_perform(struct scene *s)
{
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    provider_mount(s->fs))
		return errno;
	if (victim_pin(s))
		return errno;
	file_close(&s->victim);
	return 0;
}

static int close_with_pin_perform(struct scene *s)
{
	int error = victim_pin_and_unlink(s);

	if (error)
		return error;
	file_unmap(&s->victim);
	return syscall(SYS_close, s->victim.fd) ? errno : 0;
}

/* A filesystem may kill whoever maps its files, so this process does not. */
static int unbind_perform(struct scene *s)
{
	file_unmap(&s->victim);
	file_unmap(&s->lower);
	return -device_unbind(&s->device);
}

static int create_perform(struct scene *s)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/created", provider_dir(s->fs));
	return syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_RDWR, 0600) < 0 ?
		errno : 0;
}

static int sync_perform(struct scene *s)
{
	return syscall(SYS_sync) ? errno : 0;
}

/* Move the victim to a directory of its own. */
static int rmdir_prepare(struct scene *s)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", s->victim.path);
	snprintf(s->victim.path, sizeof(s->victim.path), "%s/directory",
		 provider_dir(s->fs));
	if (mkdir(s->victim.path, 0700) && errno != EEXIST)
		return -errno;
	strcat(s->victim.path, "/victim");
	return rename(path, s->victim.path) ? -errno : 0;
}

static int rmdir_perform(struct scene *s)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/directory", provider_dir(s->fs));
	return syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR) ? errno : 0;
}

/* Where the victim is found without a name. */
static struct {
	struct file_handle handle;
	unsigned char id[MAX_HANDLE_SZ];
} lasting;

static int open_by_handle_prepare(struct scene *s)
{
	int mount;

	lasting.handle.handle_bytes = sizeof(lasting.id);
	return name_to_handle_at(AT_FDCWD, s->victim.path, &lasting.handle,
				 &mount, 0) ? -errno : 0;
}

/* An inode that cannot be opened any more need not be. */
static int open_by_handle_perform(struct scene *s)
{
	int dir = open(provider_dir(s->fs), O_RDONLY | O_DIRECTORY), fd;

	if (dir < 0)
		return errno;
	fd = syscall(SYS_open_by_handle_at, dir, &lasting.handle, O_RDONLY);
	return fd < 0 && errno != ESTALE ? errno : 0;
}

static int lower_write(struct scene *s)
{
	return file_write(&s->lower, s->len);
}

static int higher_write(struct scene *s)
{
	return file_write(&s->higher, s->len);
}

static int lower_write_same(struct scene *s)
{
	s->lower.fill = s->victim.fill;
	return file_write(&s->lower, s->len);
}

static int unmount_prepare(struct scene *s)
{
	scene_close(s);
	return 0;
}

static int exit_with_mount_prepare(struct scene *s)
{
	scene_close(s);
	return umount2(provider_dir(s->fs), 0) ? -errno : 0;
}

const struct operation op_truncate = {
	.name = "truncate", .scope = SCOPE_TAIL, .syscall = SYS_ftruncate,
	.perform = truncate_perform,
};

const struct operation op_punch_hole = {
	.name = "punch hole", .scope = SCOPE_RANGE, .syscall = SYS_fallocate,
	.perform = punch_hole_perform,
};

const struct operation op_collapse_range = {
	.name = "collapse range", .scope = SCOPE_TAIL,
	.syscall = SYS_fallocate, .perform = collapse_range_perform,
};

const struct operation op_insert_range = {
	.name = "insert range", .scope = SCOPE_TAIL, .syscall = SYS_fallocate,
	.perform = insert_range_perform,
};

const struct operation op_open_trunc = {
	.name = "O_TRUNC", .scope = SCOPE_FILE, .syscall = SYS_openat,
	.perform = open_trunc_perform,
};

const struct operation op_unlink_close = {
	.name = "unlink and close", .scope = SCOPE_FILE, .syscall = SYS_close,
	.evicts = true, .perform = unlink_close_perform,
};

const struct operation op_rename_over = {
	.name = "rename over", .scope = SCOPE_FILE, .syscall = SYS_renameat2,
	.evicts = true, .perform = rename_over_perform,
};

const struct operation op_unmount = {
	.name = "unmount", .scope = SCOPE_FS, .syscall = SYS_umount2,
	.evicts = true, .prepare = unmount_prepare,
	.perform = unmount_perform,
};

const struct operation op_reflink_over_from_lower = {
	.name = "reflink over", .scope = SCOPE_RANGE, .syscall = SYS_ioctl,
	.prepare = lower_write, .perform = reflink_from_lower_perform,
};

const struct operation op_reflink_over_from_higher = {
	.name = "reflink over from a higher inode", .scope = SCOPE_RANGE,
	.syscall = SYS_ioctl, .prepare = higher_write,
	.perform = reflink_from_higher_perform,
};

const struct operation op_dedupe_over = {
	.name = "dedupe over", .scope = SCOPE_RANGE, .syscall = SYS_ioctl,
	.prepare = lower_write_same, .perform = dedupe_over_perform,
};

const struct operation op_sync = {
	.name = "sync", .syscall = SYS_sync, .perform = sync_perform,
};

const struct operation op_rmdir = {
	.name = "remove the directory", .syscall = SYS_unlinkat,
	.prepare = rmdir_prepare, .perform = rmdir_perform,
};

const struct operation op_open_by_handle = {
	.name = "open by handle", .syscall = SYS_open_by_handle_at,
	.prepare = open_by_handle_prepare, .perform = open_by_handle_perform,
};

const struct operation op_write = {
	.name = "write", .scope = SCOPE_RANGE, .syscall = SYS_pwrite64,
	.perform = write_perform,
};

const struct operation op_store = {
	.name = "store", .scope = SCOPE_RANGE, .syscall = NO_SYSCALL,
	.perform = store_perform,
};

const struct operation op_write_beyond = {
	.name = "write behind the end", .scope = SCOPE_RANGE,
	.syscall = SYS_pwrite64, .perform = write_beyond_perform,
};

const struct operation op_create = {
	.name = "create", .syscall = SYS_openat, .perform = create_perform,
};

const struct operation op_exit_with_pin = {
	.name = "exit with an own pin", .scope = SCOPE_FILE,
	.syscall = SYS_exit_group, .evicts = true,
	.perform = victim_pin_and_unlink,
};

const struct operation op_close_with_pin = {
	.name = "close with an own pin", .scope = SCOPE_FILE,
	.syscall = SYS_close, .evicts = true,
	.perform = close_with_pin_perform,
};

const struct operation op_unmount_with_pin = {
	.name = "unmount with an own pin", .scope = SCOPE_FS,
	.syscall = SYS_umount2, .evicts = true, .prepare = unmount_prepare,
	.perform = unmount_with_pin_perform,
};

const struct operation op_exit_with_mount = {
	.name = "exit with the mount and an own pin", .scope = SCOPE_FS,
	.syscall = SYS_exit_group, .evicts = true,
	.prepare = exit_with_mount_prepare, .perform = exit_with_mount_perform,
};

const struct operation op_unbind = {
	.name = "unbind", .scope = SCOPE_FILE, .syscall = SYS_write,
	.perform = unbind_perform,
};
