// SPDX-License-Identifier: GPL-2.0
/*
 * Show what a kernel does to pages that are in use when their file or their
 * device goes away, without judging it:
 *
 *	dax_hazards HAZARD PROVIDER
 *
 *	H1		unlink and close, a page being pinned
 *	H2		unbind the device, the file being mapped
 *	H3		unbind the device, a page being pinned
 *	H6		truncate, a page being pinned
 *	H6-unmapped	the same once nothing maps the file any more
 *	H7		unbind the device, the file being open; then unmount
 *	H8		as H2, then make the memory RAM that another process fills
 *
 * The provider is a filesystem, or "devdax" for H2, H3 and H8.
 *
 * One line is printed: the two words, a verdict, and in words what was seen.
 *
 *	safe	the operation waited, and ended once the pin was dropped; or
 *		what was gone could not be reached any more
 *	leak	memory could be read that is not the file's any more
 *	early	the operation did not wait, so that the blocks were free
 *	broken	something else, such as a wait that never ends
 *
 * Exit status 0 whenever there is a verdict, 4 if it cannot be played here.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/statvfs.h>

#include "../kselftest.h"
#include "mapped.h"
#include "operation.h"
#include "ram.h"
#include "touch.h"

#define WORDS_MAX 256

struct hazard {
	const char *name;
	const struct operation *op;
	bool unmapped;
	bool filesystems_only;
	bool large;	/* the more pages, the more can be seen */
	/*
	 * Play it in a scene whose victim is mapped. Return the verdict, and
	 * say more in @words; NULL and a reason if it cannot be played.
	 */
	const char *(*play)(const struct hazard *h, struct scene *s,
			    char *words);
};

static unsigned long free_blocks(const struct provider *fs)
{
	struct statvfs space;

	return fs && !statvfs(provider_dir(fs), &space) ? space.f_bfree : 0;
}

static const char *judge(enum outcome seen, enum pin_content content, int ended,
			 char *words)
{
	if (content != PIN_KEPT) {
		snprintf(words, WORDS_MAX, "%s, the pipe returns %s",
			 outcome_text(seen), pin_content_text(content));
		return "leak";
	}
	if (ended) {
		snprintf(words, WORDS_MAX, "%s: %s", outcome_text(seen),
			 ended < 0 ? "does not end after the pin" :
				     strerror(ended));
		return "broken";
	}
	if (seen == OP_BUSY) {
		snprintf(words, WORDS_MAX, "spins until the pin is gone");
		return "broken";
	}
	if (seen == OP_RETURNED) {
		snprintf(words, WORDS_MAX, "returns while pinned");
		return "early";
	}
	snprintf(words, WORDS_MAX, "waits for the pin");
	return "safe";
}

static const char *cannot(char *words, const char *what, int error)
{
	snprintf(words, WORDS_MAX, "%s: %s", what, strerror(-error));
	return NULL;
}

/* H1, H3, H6: @h->op against a pin. */
static const char *play_pinned(const struct hazard *h, struct scene *s,
			       char *words)
{
	unsigned long before = free_blocks(s->fs);
	enum pin_content content;
	const char *verdict;
	enum outcome seen;
	long freed;
	int error, ended;

	error = scene_pin(s, h->op, INSIDE);
	if (h->unmapped)
		file_unmap(&s->victim);
	if (!error)
		error = scene_prepare(s, h->op);
	if (!error)
		error = run_start(s, h->op);
	if (error)
		return cannot(words, h->op->name, error);
	seen = run_observe(&s->run);
	if (h->op != &op_unbind)
		error = scene_reuse_blocks(s, h->op);
	freed = (long)(free_blocks(s->fs) - before);
	content = pin_drop(&s->pin);
	ended = run_finish(&s->run);

	verdict = judge(seen, content, ended ? ended : -error, words);
	if (!strcmp(verdict, "early") && h->op != &op_unbind)
		snprintf(words, WORDS_MAX,
			 "returns, %ld blocks free while pinned", freed);
	return verdict;
}

/* There may be many small pages to flush. */
#define PATIENCE 5

static int unbind(struct scene *s)
{
	int error = run_start(s, &op_unbind);

	if (error)
		return error;
	for (int i = 0; i < PATIENCE; i++) {
		error = run_finish(&s->run);
		if (error >= 0)
			return -error;
	}
	return -ETIMEDOUT;
}

static struct census census(const struct scene *s, char kept)
{
	return touch_all(s->victim.map, s->victim.size, PTE_SIZE, kept);
}

/* H2 */
static const char *play_mapped(const struct hazard *h, struct scene *s,
			       char *words)
{
	int error = unbind(s);
	struct census c;

	if (error)
		return cannot(words, "unbind", error);
	c = census(s, s->victim.fill);
	if (c.gone == c.pages) {
		snprintf(words, WORDS_MAX, "the mapping raises SIGBUS");
		return "safe";
	}
	snprintf(words, WORDS_MAX, "%zu of %zu pages stay readable",
		 c.pages - c.gone, c.pages);
	return "leak";
}

/* H7: if the kernel survives that, it does so without an oops or a warning. */
static const char *play_open(const struct hazard *h, struct scene *s,
			     char *words)
{
	int error;

	file_unmap(&s->victim);
	error = unbind(s);
	if (error)
		return cannot(words, "unbind", error);
	scene_close(s);
	error = provider_unmount(s->fs);
	snprintf(words, WORDS_MAX, "unmount %s",
		 error ? strerror(-error) : "ends");
	return error ? "broken" : "safe";
}

/* H8: what the mapping shows of a process that has the memory for itself. */
static const char *play_stale(struct scene *s, struct ram *ram, char *words)
{
	struct child tenant;
	struct census c;
	int error;

	error = tenant_enter(&tenant, ram);
	if (error) {
		snprintf(words, WORDS_MAX, "no process fills the memory: %d",
			 error);
		return NULL;
	}
	c = census(s, TENANT);
	tenant_leave(&tenant);
	if (c.kept) {
		snprintf(words, WORDS_MAX,
			 "%zu of %zu pages are another process's memory",
			 c.kept, c.pages);
		return "leak";
	}
	if (c.gone == c.pages) {
		snprintf(words, WORDS_MAX, "the mapping raises SIGBUS");
		return "safe";
	}
	snprintf(words, WORDS_MAX, "%zu of %zu pages stay readable", c.other,
		 c.pages);
	return "leak";
}

static const char *play_converted(const struct hazard *h, struct scene *s,
				  char *words)
{
	int error = unbind(s);
	const char *verdict;
	struct ram ram;
	char path[64];

	if (error)
		return cannot(words, "unbind", error);
	if (devdax_up(PMD_SIZE, path, sizeof(path), words) != PROVIDED ||
	    ram_up(&ram, path, words) != PROVIDED)
		return NULL;
	verdict = play_stale(s, &ram, words);
	scene_close(s);
	ram_down(&ram);
	return verdict;
}

static const struct hazard hazards[] = {
	{ "H1", .op = &op_unlink_close, .unmapped = true,
	  .filesystems_only = true, .play = play_pinned },
	{ "H2", .play = play_mapped },
	{ "H3", .op = &op_unbind, .play = play_pinned },
	{ "H6", .op = &op_truncate, .filesystems_only = true,
	  .play = play_pinned },
	{ "H6-unmapped", .op = &op_truncate, .unmapped = true,
	  .filesystems_only = true, .play = play_pinned },
	{ "H7", .filesystems_only = true, .play = play_open },
	{ "H8", .large = true, .play = play_converted },
};

static const struct hazard *hazard_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hazards); i++)
		if (!strcmp(hazards[i].name, name))
			return &hazards[i];
	return NULL;
}

#define LARGE (512UL << 20)

/* Make the victim as large as can be without the ballast, in a round size. */
static int victim_grow(struct scene *s)
{
	char path[PATH_MAX + 16];
	struct statvfs space;
	size_t size;

	if (!s->fs) {
		s->victim.size = LARGE;
		return 0;
	}
	snprintf(path, sizeof(path), "%s/ballast", provider_dir(s->fs));
	/* Freed blocks can be waiting for a transaction commit. */
	if (unlink(path) || syncfs(s->victim.fd) ||
	    statvfs(provider_dir(s->fs), &space))
		return -errno;
	size = space.f_bavail * space.f_frsize / 8 * 7;
	return file_write(&s->victim, size < LARGE ? size & -PMD_SIZE : LARGE);
}

static int play(const struct hazard *h, struct scene *s, const char *provider)
{
	char words[WORDS_MAX] = "";
	const char *verdict = NULL;
	int error = 0;
	long faults;

	if (h->large)
		error = victim_grow(s);
	faults = error ? error : scene_map(s);
	if (faults < 0)
		cannot(words, "mapping", faults);
	else
		verdict = h->play(h, s, words);
	/* What follows may be the last thing that the kernel does. */
	if (verdict)
		printf("%s %s %s %s\n", h->name, provider, verdict, words);
	else
		fprintf(stderr, "%s on %s: %s\n", h->name, provider, words);
	fflush(stdout);
	scene_restore(s);
	return verdict ? KSFT_PASS : KSFT_SKIP;
}

static int show_usage(void)
{
	fprintf(stderr, "usage: dax_hazards HAZARD PROVIDER\n");
	for (size_t i = 0; i < ARRAY_SIZE(hazards); i++)
		fprintf(stderr, "\t%s ext2|ext4|xfs%s\n", hazards[i].name,
			hazards[i].filesystems_only ? "" : "|devdax");
	return KSFT_FAIL;
}

int main(int argc, char **argv)
{
	const struct hazard *h = argc == 3 ? hazard_find(argv[1]) : NULL;
	char why[REASON_MAX] = "", provider[32];
	enum provision made;
	struct scene scene;
	bool devdax;

	if (!h)
		return show_usage();
	devdax = !strcmp(argv[2], "devdax");
	snprintf(provider, sizeof(provider), "%s%s", argv[2],
		 h->large && !devdax ? "_large" : "");
	if (devdax ? h->filesystems_only : !provider_find(provider))
		return show_usage();
	made = scene_up(&scene, provider, devdax ? PMD_SIZE : PTE_SIZE, why);
	if (made == PROVIDED)
		return play(h, &scene, argv[2]);
	fprintf(stderr, "%s on %s: %s\n", h->name, argv[2], why);
	return made == LACKING ? KSFT_SKIP : KSFT_FAIL;
}
