// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <linux/stat.h>
#include <linux/types.h>

#include "../kselftest.h"
#include "provider.h"

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

/*
 * Small filesystems, so that a test can fill one and thereby reuse every block
 * that was freed. The large ones are for tests that turn the device into RAM,
 * which is not done to the first and the last part of it.
 */
#define ROOM_LEFT (40UL << 20)

/* For the driver of a new device to be loaded. */
#define DEVICE_WAIT_MS 10000

static const struct provider providers[] = {
	{
		.name = "ext2", .fstype = "ext2", .options = "dax",
		.mkfs = { "mkfs.ext2", "-q", "-F", "-b", "4096", "-m", "0",
			  MKFS_DEV, "32m" },
	}, {
		.name = "ext4", .fstype = "ext4", .options = "dax=always",
		.huge_faults = true,
		.mkfs = { "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0",
			  "-E", "stride=512,stripe_width=512,nodiscard",
			  MKFS_DEV, "96m" },
	}, {
		.name = "xfs", .fstype = "xfs", .options = "dax=always",
		.huge_faults = true,
		.mkfs = { "mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=0,rmapbt=0",
			  "-d", "size=384m,agcount=2,su=2m,sw=1",
			  "-l", "size=64m,su=4096",
			  MKFS_DEV },
	}, {
		.name = "xfs_reflink", .fstype = "xfs", .options = "dax=always",
		.huge_faults = true,
		.mkfs = { "mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1,rmapbt=0",
			  "-d", "size=384m,agcount=2,su=2m,sw=1",
			  "-l", "size=64m,su=4096",
			  MKFS_DEV },
	}, {
		.name = "xfs_rmap", .fstype = "xfs", .options = "dax=always",
		.huge_faults = true,
		.mkfs = { "mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1,rmapbt=1",
			  "-d", "size=384m,agcount=2,su=2m,sw=1",
			  "-l", "size=64m,su=4096",
			  MKFS_DEV },
	}, {
		.name = "ext2_large", .fstype = "ext2", .options = "dax",
		.mkfs = { "mkfs.ext2", "-q", "-F", "-b", "4096", "-m", "0",
			  MKFS_DEV },
	}, {
		.name = "ext4_large", .fstype = "ext4", .options = "dax=always",
		.huge_faults = true,
		.mkfs = { "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0",
			  "-E", "stride=512,stripe_width=512,nodiscard",
			  MKFS_DEV },
	}, {
		.name = "xfs_large", .fstype = "xfs", .options = "dax=always",
		.huge_faults = true,
		.mkfs = { "mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1,rmapbt=0",
			  "-d", "agcount=2,su=2m,sw=1",
			  "-l", "size=64m,su=4096",
			  MKFS_DEV },
	}, {
		.name = "ext4_linear", .fstype = "ext4", .options = "dax=always",
		.huge_faults = true,
		.table = "0 524288 linear @ 524288",
		.mkfs = { "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0",
			  "-E", "stride=512,stripe_width=512,nodiscard",
			  MKFS_DEV, "96m" },
	}, {
		.name = "xfs_striped", .fstype = "xfs", .options = "dax=always",
		.table = "0 1048576 striped 2 128 @ 0 @ 524288",
		.mkfs = { "mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1,rmapbt=0",
			  "-d", "size=384m,agcount=2,noalign",
			  "-l", "size=64m,su=4096",
			  MKFS_DEV },
	},
};

const struct provider *provider_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(providers); i++)
		if (!strcmp(providers[i].name, name))
			return &providers[i];
	return NULL;
}

enum provision say(enum provision p, char *why, const char *what,
		   const char *detail)
{
	snprintf(why, REASON_MAX, "%s%s%s", what, detail ? ": " : "",
		 detail ? detail : "");
	return p;
}

int become_tool(const char * const argv[])
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	execvp(argv[0], (char *const *)argv);
	return TOOL_MISSING;
}

int run_tool(const char * const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return TOOL_MISSING;
	if (!pid)
		_exit(become_tool(argv));
	if (waitpid(pid, &status, 0) != pid)
		return TOOL_MISSING;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

const char *provider_dir(const struct provider *fs)
{
	static char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/%s", getenv("DAX_DIR"), fs->name);
	return dir;
}

/*
 * A filesystem on a device-mapper device of its own, which is made whenever the
 * filesystem is made or mounted: where what is below has been unbound and bound
 * again, the old one leads nowhere.
 */

#define MAPPER_PREFIX "dax-selftest-"

static const char *provider_device(const struct provider *fs)
{
	static char path[NAME_MAX];

	if (!fs->table)
		return getenv("DAX_DEV");
	snprintf(path, sizeof(path), MAPPER MAPPER_PREFIX "%s", fs->name);
	return path;
}

int mapper_do(const char *what, const char *name)
{
	const char * const argv[] = { "dmsetup", what, name, NULL };

	return run_tool(argv);
}

void mapper_remove(const char *name)
{
	const char * const argv[] = { "dmsetup", "remove", "--retry", name,
				      NULL };

	run_tool(argv);
}

static bool is_mounted(const char *device)
{
	struct mntent *m;
	bool found = false;
	FILE *mounts;

	mounts = setmntent("/proc/self/mounts", "r");
	if (!mounts)
		return false;
	while (!found && (m = getmntent(mounts)))
		found = !strcmp(m->mnt_fsname, device);
	endmntent(mounts);
	return found;
}

/* Remove those that nobody has mounted. */
static void mappers_sweep(void)
{
	glob_t devices;

	if (glob(MAPPER MAPPER_PREFIX "*", 0, NULL, &devices))
		return;
	for (size_t i = 0; i < devices.gl_pathc; i++)
		if (!is_mounted(devices.gl_pathv[i]))
			mapper_remove(strrchr(devices.gl_pathv[i], '/') + 1);
	globfree(&devices);
}

/* The table of @fs, with the block device in it. */
static void mapper_table(const struct provider *fs, char *table, size_t len)
{
	size_t n = 0;

	for (const char *c = fs->table; *c && n < len; c++)
		n += snprintf(table + n, len - n, "%.*s", *c == '@' ? 255 : 1,
			      *c == '@' ? getenv("DAX_DEV") : c);
}

static bool kernel_has_mapper(void)
{
	const char * const argv[] = { "grep", "-q", "device-mapper",
				      "/proc/devices", NULL };

	return !run_tool(argv);
}

enum provision mapper_create(const char *name, const char *table, char *why)
{
	const char * const argv[] = { "dmsetup", "create", name, "--table",
				      table, NULL };
	int status = run_tool(argv);

	if (status == TOOL_MISSING)
		return say(LACKING, why, "tool not found", argv[0]);
	if (status && !kernel_has_mapper())
		return say(LACKING, why, "kernel without", "device-mapper");
	return status ? say(BROKEN, why, "dmsetup create", table) : PROVIDED;
}

static enum provision mapper_make(const struct provider *fs, char *why)
{
	const char *device = provider_device(fs);
	const char *name = strrchr(device, '/') + 1;
	char table[2 * PATH_MAX];

	if (!access(device, F_OK))
		mapper_remove(name);
	mapper_table(fs, table, sizeof(table));
	return mapper_create(name, table, why);
}

static const char *provider_mapper(const struct provider *fs)
{
	return strrchr(provider_device(fs), '/') + 1;
}

int provider_suspend(const struct provider *fs)
{
	return mapper_do("suspend", provider_mapper(fs)) ? -EIO : 0;
}

int provider_resume(const struct provider *fs)
{
	return mapper_do("resume", provider_mapper(fs)) ? -EIO : 0;
}

int provider_reload(const struct provider *fs)
{
	char table[2 * PATH_MAX];
	const char * const argv[] = { "dmsetup", "load", provider_mapper(fs),
				      "--table", table, NULL };

	mapper_table(fs, table, sizeof(table));
	return run_tool(argv) ? -EIO : provider_resume(fs);
}

/* What @fs is to be on. */
static enum provision provider_device_make(const struct provider *fs, char *why)
{
	return fs->table ? mapper_make(fs, why) : PROVIDED;
}

/*
 * Unmount everything below $DAX_DIR except @keep. 1 if @keep is there; without
 * one, -errno if something stays mounted; otherwise 0.
 */
static int mounts_sift(const char *keep)
{
	const char *top = getenv("DAX_DIR");
	struct mntent *m;
	FILE *mounts;
	int found = 0;

	mounts = setmntent("/proc/self/mounts", "r");
	if (!mounts)
		return 0;
	while ((m = getmntent(mounts))) {
		if (strncmp(m->mnt_dir, top, strlen(top)) ||
		    m->mnt_dir[strlen(top)] != '/')
			continue;
		if (keep && !strcmp(m->mnt_dir, keep))
			found = 1;
		else if (umount2(m->mnt_dir, 0) && !keep)
			found = -errno;
	}
	endmntent(mounts);
	mappers_sweep();
	return found;
}

int provider_down(void)
{
	return mounts_sift(NULL);
}

bool provider_mounted(const struct provider *fs)
{
	return mounts_sift(provider_dir(fs)) == 1;
}

/*
 * A test wants to write to every free block, but ext4 and XFS keep some for
 * themselves, until they are told not to. What they still keep then does not
 * make a test wrong, it only makes it less likely to see blocks reused.
 */
static void ext4_reserve_nothing(const char *device)
{
	char path[PATH_MAX], real[PATH_MAX];
	int fd;

	if (!realpath(device, real))
		return;
	snprintf(path, sizeof(path), "/sys/fs/ext4/%.255s/reserved_clusters",
		 strrchr(real, '/') + 1);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	if (write(fd, "0", 1) != 1)
		perror(path);
	close(fd);
}

/* As in xfs_fs.h, which distributions ship apart from the kernel's headers. */
struct xfs_fsop_resblks {
	__u64 resblks;
	__u64 resblks_avail;
};

#define XFS_IOC_SET_RESBLKS _IOWR('X', 114, struct xfs_fsop_resblks)

static void xfs_reserve_nothing(const char *dir)
{
	struct xfs_fsop_resblks nothing = { 0 };
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return;
	if (ioctl(fd, XFS_IOC_SET_RESBLKS, &nothing))
		perror("XFS_IOC_SET_RESBLKS");
	close(fd);
}

int provider_mount(const struct provider *fs)
{
	const char *dir = provider_dir(fs), *device = provider_device(fs);
	char why[REASON_MAX];

	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	if (provider_device_make(fs, why) != PROVIDED)
		return -EIO;
	if (mount(device, dir, fs->fstype, 0, fs->options))
		return -errno;
	if (!strcmp(fs->fstype, "ext4"))
		ext4_reserve_nothing(device);
	if (!strcmp(fs->fstype, "xfs"))
		xfs_reserve_nothing(dir);
	return 0;
}

int provider_unmount(const struct provider *fs)
{
	return umount2(provider_dir(fs), 0) ? -errno : 0;
}

static enum provision provider_mkfs(const struct provider *fs, char *why)
{
	const char *argv[ARRAY_SIZE(fs->mkfs)] = { NULL };
	enum provision made = provider_device_make(fs, why);
	int status;

	if (made != PROVIDED)
		return made;
	for (int i = 0; fs->mkfs[i]; i++)
		argv[i] = strcmp(fs->mkfs[i], MKFS_DEV) ? fs->mkfs[i] :
							  provider_device(fs);
	status = run_tool(argv);
	if (status == TOOL_MISSING)
		return say(LACKING, why, "tool not found", fs->mkfs[0]);
	if (status)
		return say(BROKEN, why, "tool failed", fs->mkfs[0]);
	return PROVIDED;
}

/* The ballast file leaves ROOM_LEFT, and tells whether files are DAX here. */
static enum provision ballast_load(const struct provider *fs, char *why)
{
	enum provision result = PROVIDED;
	char path[PATH_MAX + 16];
	struct statvfs space;
	struct statx stx;
	off_t surplus;
	int fd;

	snprintf(path, sizeof(path), "%s/ballast", provider_dir(fs));
	fd = open(path, fs->image ? O_RDONLY : O_CREAT | O_RDWR, 0600);
	if (fd < 0 || fstatvfs(fd, &space) ||
	    statx(fd, "", AT_EMPTY_PATH, 0, &stx)) {
		result = say(BROKEN, why, "ballast file", strerror(errno));
		goto out;
	}
	if (!(stx.stx_attributes & STATX_ATTR_DAX)) {
		result = say(LACKING, why, "mounted without DAX", fs->name);
		goto out;
	}
	surplus = (off_t)space.f_bavail * space.f_frsize - (off_t)ROOM_LEFT;
	if (surplus > 0 && fallocate(fd, 0, 0, surplus) && errno != EOPNOTSUPP)
		result = say(BROKEN, why, "ballast file", strerror(errno));
out:
	if (fd >= 0)
		close(fd);
	return result;
}

/* What is mounted can be on a disk that was unbound. */
static bool provider_alive(const struct provider *fs)
{
	struct stat dir, device;

	return !stat(provider_dir(fs), &dir) &&
	       !stat(provider_device(fs), &device) &&
	       dir.st_dev == device.st_rdev;
}

enum provision provider_up(const struct provider *fs, char *why)
{
	enum provision made;
	int error;

	if (!getenv("DAX_DEV") || !getenv("DAX_DIR"))
		return say(LACKING, why, "DAX_DEV and DAX_DIR are not set", NULL);
	made = block_up(why);
	if (made != PROVIDED)
		return made;
	if (provider_mounted(fs)) {
		if (provider_alive(fs))
			return PROVIDED;
		provider_unmount(fs);
	}

	made = provider_mkfs(fs, why);
	if (made != PROVIDED)
		return made;
	error = provider_mount(fs);
	if (error == -ENODEV)
		return say(LACKING, why, "kernel without", fs->fstype);
	if (error)
		return say(BROKEN, why, "mount", strerror(-error));
	made = ballast_load(fs, why);
	if (made != PROVIDED)
		umount2(provider_dir(fs), 0);
	return made;
}

static size_t sysfs_number(const char *device, const char *attribute)
{
	char path[PATH_MAX];
	size_t number = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s/%s", device,
		 attribute);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%zu", &number) != 1)
		number = 0;
	fclose(f);
	return number;
}

/* The node is there before the driver is. */
static bool openable(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A device of this alignment that has at least one mapping's worth of memory. */
static bool devdax_find(size_t align, char *path, size_t len)
{
	DIR *devices = opendir("/sys/bus/dax/devices");
	struct dirent *d;
	bool found = false;

	if (!devices)
		return false;
	while (!found && (d = readdir(devices))) {
		if (sysfs_number(d->d_name, "align") != align ||
		    sysfs_number(d->d_name, "size") < align)
			continue;
		snprintf(path, len, "/dev/%s", d->d_name);
		found = openable(path);
	}
	closedir(devices);
	return found;
}

/* Make $DAX_NAMESPACE another kind of device; @option is what that takes. */
static enum provision namespace_make(const char *mode, const char *option,
				     const char *value, char *why)
{
	const char *namespace = getenv("DAX_NAMESPACE");
	const char * const argv[] = { "ndctl", "create-namespace", "-f", "-e",
				      namespace, "-m", mode, option, value, NULL };
	int status;

	if (!namespace)
		return say(LACKING, why, "no DAX_NAMESPACE for a device of mode",
			   mode);
	if (getenv("DAX_DIR"))
		mounts_sift(NULL);
	status = run_tool(argv);
	if (status == TOOL_MISSING)
		return say(LACKING, why, "tool not found", argv[0]);
	if (status)
		return say(BROKEN, why, "ndctl fails to make the namespace", mode);
	return PROVIDED;
}

enum provision devdax_up(size_t align, char *path, size_t len, char *why)
{
	enum provision made;
	char size[32];

	if (devdax_find(align, path, len))
		return PROVIDED;
	snprintf(size, sizeof(size), "%zu", align);
	made = namespace_make("devdax", "-a", size, why);
	if (made == BROKEN)
		return say(LACKING, why, "ndctl refuses this alignment", size);
	if (made != PROVIDED)
		return made;
	for (int i = 0; i < DEVICE_WAIT_MS / 100; i++) {
		if (devdax_find(align, path, len))
			return PROVIDED;
		usleep(100 * 1000);
	}
	return say(BROKEN, why, "namespace without device", NULL);
}

enum provision block_up(char *why)
{
	const char *device = getenv("DAX_DEV");
	enum provision made;

	if (!access(device, F_OK))
		return PROVIDED;
	made = namespace_make("fsdax", "-M", "mem", why);
	if (made == PROVIDED && access(device, F_OK))
		return say(BROKEN, why, "namespace without", device);
	return made;
}
