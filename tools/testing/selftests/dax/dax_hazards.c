// SPDX-License-Identifier: GPL-2.0
/*
 * Show what a kernel does to pages that are pinned, without judging it:
 *
 *	dax_hazards HAZARD FILESYSTEM
 *
 *	H1		unlink and close, a page being pinned
 *	H6		truncate, a page being pinned
 *	H6-unmapped	the same once nothing maps the file any more
 *
 * prints one line: the two words, a verdict, and in words what was seen.
 *
 *	safe	the operation waited, and ended once the pin was dropped
 *	leak	the pipe returned another file's data
 *	early	the operation did not wait, so that the blocks were free
 *	broken	something else, such as a wait that never ends
 *
 * Exit status 0 whenever there is a verdict, 4 if it cannot be played here.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "../kselftest.h"
#include "operation.h"

static const struct hazard {
	const char *name;
	const struct operation *op;
	bool unmapped;
} hazards[] = {
	{ "H1", &op_unlink_close, true },
	{ "H6", &op_truncate, false },
	{ "H6-unmapped", &op_truncate, true },
};

static const struct hazard *hazard_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hazards); i++)
		if (!strcmp(hazards[i].name, name))
			return &hazards[i];
	return NULL;
}

static unsigned long free_blocks(const struct provider *fs)
{
	struct statvfs space;

	return statvfs(provider_dir(fs), &space) ? 0 : space.f_bfree;
}

static const char *judge(enum outcome seen, enum pin_content content, int ended,
			 long freed, char *words, size_t len)
{
	if (content != PIN_KEPT) {
		snprintf(words, len, "%s, the pipe returns %s",
			 outcome_text(seen), pin_content_text(content));
		return "leak";
	}
	if (ended) {
		snprintf(words, len, "%s: %s", outcome_text(seen),
			 ended < 0 ? "does not end after the pin" :
				     strerror(ended));
		return "broken";
	}
	if (seen == OP_BUSY) {
		snprintf(words, len, "spins until the pin is gone");
		return "broken";
	}
	if (seen == OP_RETURNED) {
		snprintf(words, len, "returns, %ld blocks free while pinned",
			 freed);
		return "early";
	}
	snprintf(words, len, "waits for the pin");
	return "safe";
}

static int play(const struct hazard *h, const struct provider *fs)
{
	enum pin_content content;
	enum outcome outcome;
	struct scene scene;
	char words[256];
	const char *verdict;
	long before, freed;
	int error, ended;

	error = scene_build(&scene, fs, 4096);
	before = free_blocks(fs);
	if (!error)
		error = scene_pin(&scene, h->op, INSIDE);
	if (h->unmapped)
		file_unmap(&scene.victim);
	if (!error)
		error = scene_prepare(&scene, h->op);
	if (!error)
		error = run_start(&scene, h->op);
	if (error) {
		fprintf(stderr, "%s on %s: %s\n", h->name, fs->name,
			strerror(-error));
		scene_clear(&scene);
		return KSFT_FAIL;
	}
	outcome = run_observe(&scene.run);
	error = scene_reuse_blocks(&scene, h->op);
	freed = (long)free_blocks(fs) - before;
	content = pin_drop(&scene.pin);
	ended = run_finish(&scene.run);
	scene_clear(&scene);

	verdict = judge(outcome, content, ended ? ended : -error, freed, words,
			sizeof(words));
	printf("%s %s %s %s\n", h->name, fs->name, verdict, words);
	return KSFT_PASS;
}

int main(int argc, char **argv)
{
	const struct hazard *h = argc == 3 ? hazard_find(argv[1]) : NULL;
	const struct provider *fs = argc == 3 ? provider_find(argv[2]) : NULL;
	char why[REASON_MAX] = "";

	if (!h || !fs) {
		fprintf(stderr, "usage: dax_hazards H1|H6|H6-unmapped ext2|ext4|xfs|xfs_reflink\n");
		return KSFT_FAIL;
	}
	switch (provider_up(fs, why)) {
	case PROVIDED:
		return play(h, fs);
	case LACKING:
		fprintf(stderr, "%s on %s: %s\n", h->name, fs->name, why);
		return KSFT_SKIP;
	default:
		fprintf(stderr, "%s on %s: %s\n", h->name, fs->name, why);
		return KSFT_FAIL;
	}
}
