/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_MAPPED_FIXTURE_H
#define SELFTESTS_DAX_MAPPED_FIXTURE_H

/* The files and mappings that several programs play their tests with. */

#include <errno.h>

#include "../kselftest_harness.h"
#include "mapped.h"
#include "provided.h"
#include "view.h"

#define SIZE (2 * PMD_SIZE)
#define PAGES (2 * PMD_PAGES)

/* Some pages of the second PMD, and a range that goes from the first into it. */
#define PART (PMD_PAGES + 100)
#define PART_PAGES 12
#define ACROSS (PMD_PAGES - 7)
#define ACROSS_PAGES 16

#define TIMEOUT 60

FIXTURE(mapped) {
	struct mapped m;
};

FIXTURE_VARIANT(mapped) {
	const char *fs;
	enum unit unit;
	bool shared;
};

FIXTURE_VARIANT_ADD(mapped, ext4_pte) {
	.fs = "ext4", .unit = UNIT_PTE,
};

FIXTURE_VARIANT_ADD(mapped, ext4_pmd) {
	.fs = "ext4", .unit = UNIT_PMD,
};

FIXTURE_VARIANT_ADD(mapped, ext4_mixed) {
	.fs = "ext4", .unit = UNIT_MIXED,
};

FIXTURE_VARIANT_ADD(mapped, xfs_pte) {
	.fs = "xfs", .unit = UNIT_PTE,
};

FIXTURE_VARIANT_ADD(mapped, xfs_pmd) {
	.fs = "xfs", .unit = UNIT_PMD,
};

FIXTURE_VARIANT_ADD(mapped, xfs_mixed) {
	.fs = "xfs", .unit = UNIT_MIXED,
};

FIXTURE_VARIANT_ADD(mapped, xfs_reflink_pte) {
	.fs = "xfs_reflink", .unit = UNIT_PTE,
};

FIXTURE_VARIANT_ADD(mapped, xfs_reflink_pmd) {
	.fs = "xfs_reflink", .unit = UNIT_PMD,
};

FIXTURE_VARIANT_ADD(mapped, xfs_reflink_mixed) {
	.fs = "xfs_reflink", .unit = UNIT_MIXED,
};

FIXTURE_VARIANT_ADD(mapped, xfs_shared_pte) {
	.fs = "xfs_reflink", .unit = UNIT_PTE, .shared = true,
};

/* What of @len mapped bytes is to be mapped by PMDs. */
static long huge(const struct mapped *m, size_t len)
{
	return m->unit == UNIT_PMD ? len : 0;
}

FIXTURE_SETUP(mapped)
{
	struct mapped *m = &self->m;
	char why[REASON_MAX] = "";

	m->fs = provider_find(variant->fs);
	m->unit = variant->unit;
	m->shared = variant->shared;
	if (!provided(_metadata, provider_up(m->fs, why), why))
		return;
	ASSERT_EQ(0, mapped_open(m, "mapped", SIZE)) {
		mapped_close(m);
		mapped_delete(m);
	}
	ASSERT_EQ(huge(m, SIZE), view_huge(m->map, SIZE)) {
		mapped_close(m);
		mapped_delete(m);
	}
}

/*
 * Whatever a test did, a twin keeps its data, and once nothing maps the file
 * its pages are idle: a truncation that found one in use would wait for it.
 */
FIXTURE_TEARDOWN(mapped)
{
	struct mapped *m = &self->m;

	if (m->twin_map)
		EXPECT_EQ(0, pages_differ(m->twin_map, 0, PAGES, ORIGINAL));
	mapped_unmap(m);
	EXPECT_EQ(0, ftruncate(m->file.fd, 0));
	mapped_close(m);
	mapped_delete(m);
}

#endif
