// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for device memory: how its folios are requested, freed, joined,
 * split, and waited for when the device goes
 *
 * Each case has a device of its own, at physical addresses that have no memory:
 * struct pages are all that mm/memremap.c looks at. zd_test_exit() finds what a
 * case has left behind, and lets the device go even so.
 */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagevec.h>
#include <linux/pgtable.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <trace/events/printk.h>

#define ZD_TEST_FREES	16	/* calls of ->page_free that are looked at */
#define ZD_TEST_FOLIOS	4	/* the least that a device has */
#define ZD_TEST_CROWD	(ZD_TEST_FOLIOS - 1)
#define ZD_TEST_ROUNDS	5000
#define ZD_TEST_WAITS	1000	/* rounds in which tasks sleep */

static bool warnings;
module_param(warnings, bool, 0444);
MODULE_PARM_DESC(warnings, "Run the cases in which the kernel is right to warn");

static unsigned int timeout = 20;
module_param(timeout, uint, 0444);
MODULE_PARM_DESC(timeout, "Seconds after which a thread that waits is stuck");

/*
 * Parameters
 */

struct zd_test_kind {
	const char *name;
	enum memory_type type;
	bool page_free;		/* of free folios the driver is told */
	bool large;		/* folios are large from the start */
};

static const struct zd_test_kind __maybe_unused zd_test_private = {
	.name		= "PRIVATE",
	.type		= MEMORY_DEVICE_PRIVATE,
	.page_free	= true,
};

static const struct zd_test_kind zd_test_coherent = {
	.name		= "COHERENT",
	.type		= MEMORY_DEVICE_COHERENT,
	.page_free	= true,
};

static const struct zd_test_kind zd_test_fs_dax = {
	.name		= "FS_DAX",
	.type		= MEMORY_DEVICE_FS_DAX,
};

static const struct zd_test_kind zd_test_generic = {
	.name		= "GENERIC",
	.type		= MEMORY_DEVICE_GENERIC,
};

static const struct zd_test_kind zd_test_generic_large = {
	.name		= "GENERIC_large",
	.type		= MEMORY_DEVICE_GENERIC,
	.large		= true,
};

static const struct zd_test_kind zd_test_pci_p2pdma = {
	.name		= "PCI_P2PDMA",
	.type		= MEMORY_DEVICE_PCI_P2PDMA,
	.page_free	= true,
};

static const struct zd_test_kind *const zd_test_kinds[] = {
#ifdef CONFIG_DEVICE_PRIVATE
	&zd_test_private,
#endif
	&zd_test_coherent, &zd_test_fs_dax, &zd_test_generic,
	&zd_test_generic_large, &zd_test_pci_p2pdma,
};

static const struct zd_test_kind *const zd_test_driver_kinds[] = {
#ifdef CONFIG_DEVICE_PRIVATE
	&zd_test_private,
#endif
	&zd_test_coherent, &zd_test_pci_p2pdma,
};

static const struct zd_test_kind *const zd_test_migrated_kinds[] = {
#ifdef CONFIG_DEVICE_PRIVATE
	&zd_test_private,
#endif
	&zd_test_coherent,
};

static const struct zd_test_kind *const zd_test_dax_kinds[] = {
	&zd_test_fs_dax, &zd_test_generic, &zd_test_generic_large,
};

static void zd_test_kind_desc(const struct zd_test_kind *const *kind, char *desc)
{
	strscpy(desc, (*kind)->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kind, zd_test_kinds, zd_test_kind_desc);
KUNIT_ARRAY_PARAM(driver_kind, zd_test_driver_kinds, zd_test_kind_desc);
KUNIT_ARRAY_PARAM(migrated_kind, zd_test_migrated_kinds, zd_test_kind_desc);
KUNIT_ARRAY_PARAM(dax_kind, zd_test_dax_kinds, zd_test_kind_desc);

/* For cases that provoke WARN_ON_ONCE(): it fails whoever looks for splats. */
static void zd_test_requires_warnings(struct kunit *test)
{
	if (!warnings)
		kunit_skip(test, "makes the kernel warn: memremap_kunit.warnings=1 runs it");
}

/*
 * The fixture of a case: a device
 */

/* What a call of ->page_free has found. */
struct zd_test_free {
	unsigned long pfn;
	int ref_count;
	long refs;
	bool mapping;
	bool requested;
};

struct zd_test_task {
	void (*fn)(struct zd_test_task *t);
	struct zd_test *zt;
	struct folio *folio;
	struct task_struct *task;
	struct completion done;
	bool started;

	/* what came out */
	unsigned long requests;
	unsigned long round;
	long left;
};

struct zd_test {
	struct resource *res;
	struct dev_pagemap pgmap;
	bool mapped;
	bool counted;		/* references on the pgmap can be read */
	struct page *pages;
	struct page *saved;
	unsigned long nr_pages;

	bool again;		/* ->page_free asks for the page again */
	atomic_t nr_frees;
	struct zd_test_free frees[ZD_TEST_FREES];

	struct zd_test_task tasks[ZD_TEST_CROWD + 1];
	unsigned int nr_tasks;
	struct zd_test_task *removal;
	spinlock_t lock;	/* what makes one of a crowd the owner of a folio */
	unsigned long round;

	struct hrtimer timer;
	struct folio *timer_folio;
	struct completion timer_done;
	bool timer_in_task;
};

/* References on a pgmap that is in atomic mode, but for its own. */
static long zd_test_count(struct dev_pagemap *pgmap)
{
	return atomic_long_read(&pgmap->ref.data->count) -
	       !percpu_ref_is_dying(&pgmap->ref);
}

/* May sleep. From here on, the pgmap is in atomic mode. */
static long zd_test_refs(struct zd_test *zt)
{
	if (!zt->counted) {
		percpu_ref_switch_to_atomic_sync(&zt->pgmap.ref);
		/* Who switches has a reference until after the wake-up. */
		rcu_barrier();
		zt->counted = true;
	}
	return zd_test_count(&zt->pgmap);
}

static void zd_test_page_free(struct page *page)
{
	struct dev_pagemap *pgmap = page_pgmap(page);
	struct zd_test *zt = container_of(pgmap, struct zd_test, pgmap);
	unsigned int n = atomic_fetch_inc(&zt->nr_frees);
	struct zd_test_free free = {
		.pfn		= page_to_pfn(page),
		.ref_count	= page_ref_count(page),
		.refs		= zd_test_count(pgmap),
		.mapping	= page->mapping,
	};

	if (zt->again)
		free.requested = zone_device_request_folio(page_folio(page));
	if (n < ZD_TEST_FREES)
		zt->frees[n] = free;
}

static vm_fault_t zd_test_migrate_to_ram(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

/* FS_DAX and GENERIC have no use for ->page_free: it is to be left alone. */
static const struct dev_pagemap_ops zd_test_ops = {
	.page_free	= zd_test_page_free,
	.migrate_to_ram	= zd_test_migrate_to_ram,
};

/* With at least @nr_pages, beginning with one that any folio can begin with. */
static struct zd_test *zd_test_map(struct kunit *test,
				   const struct zd_test_kind *kind,
				   unsigned long nr_pages)
{
	unsigned long align = max(memremap_compat_align(), PMD_SIZE);
	unsigned long size = ALIGN(nr_pages << PAGE_SHIFT, align);
	struct zd_test *zt = test->priv;
	struct dev_pagemap *pgmap = &zt->pgmap;
	struct resource *res;
	void *addr;

	size = max(size, ZD_TEST_FOLIOS * align);
	res = request_free_mem_region(&iomem_resource, size + align,
				      "memremap_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(res));
	zt->res = res;

	pgmap->type = kind->type;
	pgmap->vmemmap_shift = kind->large ? PMD_ORDER : 0;
	pgmap->ops = &zd_test_ops;
	pgmap->owner = zt;
	pgmap->range.start = ALIGN(res->start, align);
	pgmap->range.end = pgmap->range.start + size - 1;
	pgmap->nr_range = 1;
	addr = memremap_pages(pgmap, NUMA_NO_NODE);
	KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
	zt->mapped = true;
	/* Otherwise it would be dead in atomic mode. */
	pgmap->ref.data->allow_reinit = true;
	zt->pages = pfn_to_page(PHYS_PFN(pgmap->range.start));
	zt->nr_pages = size >> PAGE_SHIFT;
	return zt;
}

static struct zd_test *zd_test_device(struct kunit *test)
{
	const struct zd_test_kind *const *kind = test->param_value;

	return zd_test_map(test, *kind, 0);
}

static struct zd_test *zd_test_fs_dax_device(struct kunit *test)
{
	return zd_test_map(test, &zd_test_fs_dax, 0);
}

static bool zd_test_has_page_free(struct zd_test *zt)
{
	return zt->pgmap.type != MEMORY_DEVICE_FS_DAX &&
	       zt->pgmap.type != MEMORY_DEVICE_GENERIC;
}

static struct folio *zd_test_folio(struct zd_test *zt, unsigned long nr)
{
	return page_folio(zt->pages + (nr << zt->pgmap.vmemmap_shift));
}

/* What @page was like at zd_test_save(). */
static struct page *zd_test_saved(struct zd_test *zt, struct page *page)
{
	return zt->saved + (page_to_pfn(page) - page_to_pfn(zt->pages));
}

static void zd_test_save(struct kunit *test)
{
	struct zd_test *zt = test->priv;

	if (!zt->saved)
		zt->saved = kvmalloc_array(zt->nr_pages, sizeof(*zt->saved),
					   GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, zt->saved);
	memcpy(zt->saved, zt->pages, zt->nr_pages * sizeof(*zt->saved));
}

static unsigned int zd_test_word(const struct page *a, const struct page *b)
{
	unsigned int word = 0;

	while (((unsigned long *)a)[word] == ((unsigned long *)b)[word])
		word++;
	return word;
}

/* Each word of each page is as it was, but those of @nr pages from @folio on. */
static void zd_test_expect_saved_but(struct kunit *test, struct folio *folio,
				     unsigned long nr)
{
	struct zd_test *zt = test->priv;
	unsigned long i;

	for (i = 0; i < zt->nr_pages; i++) {
		struct page *page = zt->pages + i, *saved = zt->saved + i;

		if (nr && page == &folio->page) {
			i += nr - 1;
			continue;
		}
		if (memcmp(page, saved, sizeof(*page))) {
			KUNIT_FAIL(test, "page %lu: word %u is not as it was",
				   i, zd_test_word(page, saved));
			return;
		}
	}
}

static void zd_test_expect_saved(struct kunit *test)
{
	zd_test_expect_saved_but(test, NULL, 0);
}

static void zd_test_request(struct kunit *test, struct folio *folio)
{
	KUNIT_ASSERT_TRUE(test, zone_device_request_folio(folio));
}

static void zd_test_join(struct kunit *test, struct folio *folio,
			 unsigned int order)
{
	KUNIT_ASSERT_TRUE(test, zone_device_join_folio(folio, order));
}

/* ->page_free was called @nr times, if the device has it at all. */
static void zd_test_expect_frees(struct kunit *test, unsigned int nr)
{
	struct zd_test *zt = test->priv;

	KUNIT_EXPECT_EQ(test, atomic_read(&zt->nr_frees),
			zd_test_has_page_free(zt) ? nr : 0);
}

/* Call @nr was for @folio, when it was free and the device not yet. */
static void zd_test_expect_free(struct kunit *test, unsigned int nr,
				unsigned long pfn, long refs)
{
	struct zd_test *zt = test->priv;
	struct zd_test_free *free = &zt->frees[nr];

	if (!zd_test_has_page_free(zt))
		return;
	KUNIT_EXPECT_EQ(test, free->pfn, pfn);
	KUNIT_EXPECT_EQ(test, free->ref_count, 0);
	KUNIT_EXPECT_EQ(test, free->refs, refs);
	KUNIT_EXPECT_FALSE(test, free->mapping);
}

/*
 * Threads
 */

static int zd_test_thread(void *data)
{
	struct zd_test_task *t = data;

	WRITE_ONCE(t->started, true);
	t->fn(t);
	complete(&t->done);
	return 0;
}

static struct zd_test_task *
zd_test_start(struct kunit *test, void (*fn)(struct zd_test_task *t),
	      struct folio *folio)
{
	struct zd_test *zt = test->priv;
	struct zd_test_task *t = &zt->tasks[zt->nr_tasks];
	struct task_struct *task;

	KUNIT_ASSERT_LT(test, zt->nr_tasks, ARRAY_SIZE(zt->tasks));
	*t = (struct zd_test_task){ .fn = fn, .zt = zt, .folio = folio };
	init_completion(&t->done);
	task = kthread_create(zd_test_thread, t, "memremap_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	t->task = get_task_struct(task);
	zt->nr_tasks++;
	wake_up_process(task);
	return t;
}

/* Wait until a thread waits. */
static bool zd_test_sleeps(struct zd_test_task *t)
{
	unsigned long end = jiffies + timeout * HZ;

	while (!completion_done(&t->done) && time_before(jiffies, end)) {
		/* It sleeps before its function is called as well. */
		if (READ_ONCE(t->started) &&
		    READ_ONCE(t->task->__state) & TASK_NORMAL)
			return true;
		usleep_range(200, 400);
	}
	return false;
}

/* None of them waits for good. */
static void zd_test_join_tasks(struct kunit *test)
{
	struct zd_test *zt = test->priv;
	unsigned int i;

	for (i = 0; i < zt->nr_tasks; i++) {
		struct zd_test_task *t = &zt->tasks[i];

		if (!t->task || t == zt->removal)
			continue;
		wait_for_completion(&t->done);
		kthread_stop_put(t->task);
		t->task = NULL;
	}
}

/* Somebody who wants the folio for himself. */
static void task_wait_idle(struct zd_test_task *t)
{
	t->left = wait_var_event_timeout(t->folio, !folio_ref_count(t->folio),
					 timeout * HZ);
}

static struct zd_test_task *zd_test_wait_idle(struct kunit *test,
					      struct folio *folio)
{
	struct zd_test_task *t = zd_test_start(test, task_wait_idle, folio);

	KUNIT_EXPECT_TRUE(test, zd_test_sleeps(t));
	return t;
}

/* Who has missed the wake-up finds the folio idle when the time is over. */
static void zd_test_expect_woken(struct kunit *test, struct zd_test_task *t)
{
	zd_test_join_tasks(test);
	KUNIT_EXPECT_GT(test, t->left, 1);
}

static void task_remove(struct zd_test_task *t)
{
	memunmap_pages(&t->zt->pgmap);
}

/* The device is going away, which takes until its folios are idle. */
static void zd_test_start_removal(struct kunit *test)
{
	unsigned long end = jiffies + timeout * HZ;
	struct zd_test *zt = test->priv;

	zt->removal = zd_test_start(test, task_remove, NULL);
	while (!percpu_ref_is_dying(&zt->pgmap.ref) && time_before(jiffies, end))
		usleep_range(200, 400);
	KUNIT_ASSERT_TRUE(test, percpu_ref_is_dying(&zt->pgmap.ref));
	KUNIT_ASSERT_TRUE(test, zd_test_sleeps(zt->removal));
}

static bool zd_test_removed(struct zd_test *zt, unsigned long ticks)
{
	if (!zt->mapped)
		return true;
	if (!zt->removal ||
	    !wait_for_completion_timeout(&zt->removal->done, ticks))
		return false;
	kthread_stop_put(zt->removal->task);
	zt->mapped = false;
	return true;
}

static void zd_test_expect_removed(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, zd_test_removed(test->priv, timeout * HZ));
}

static bool zd_test_is_removed_early(struct zd_test *zt)
{
	return zd_test_removed(zt, HZ / 10);
}

static enum hrtimer_restart zd_test_timer(struct hrtimer *timer)
{
	struct zd_test *zt = container_of(timer, struct zd_test, timer);

	zt->timer_in_task = in_task();
	folio_put(zt->timer_folio);
	complete(&zt->timer_done);
	return HRTIMER_NORESTART;
}

static void zd_test_put_in_interrupt(struct kunit *test, struct folio *folio,
				     enum hrtimer_mode mode)
{
	struct zd_test *zt = test->priv;

	zt->timer_folio = folio;
	init_completion(&zt->timer_done);
	hrtimer_init(&zt->timer, CLOCK_MONOTONIC, mode);
	zt->timer.function = zd_test_timer;
	hrtimer_start(&zt->timer, ns_to_ktime(NSEC_PER_MSEC), mode);
	wait_for_completion(&zt->timer_done);
	hrtimer_cancel(&zt->timer);
	KUNIT_EXPECT_FALSE(test, zt->timer_in_task);
}

/*
 * The end of a case
 */

static int zd_test_init(struct kunit *test)
{
	struct zd_test *zt = kunit_kzalloc(test, sizeof(*zt), GFP_KERNEL);

	if (!zt)
		return -ENOMEM;
	spin_lock_init(&zt->lock);
	test->priv = zt;
	return 0;
}

/* Return: whether @folio was as memremap_pages() has left it. */
static bool zd_test_clean_folio(struct zd_test *zt, struct folio *folio)
{
	int refs = folio_ref_count(folio);
	bool clean = !refs && !folio->mapping && !folio->index &&
		     folio_order(folio) == zt->pgmap.vmemmap_shift;

	if (refs)
		folio_put_refs(folio, refs);
	folio->mapping = NULL;
	folio->index = 0;
	zone_device_split_folio(folio);
	return clean;
}

static unsigned long zd_test_clean_folios(struct zd_test *zt)
{
	unsigned long i, nr, dirty = 0;

	zt->again = false;
	for (i = 0; i < zt->nr_pages; i += nr) {
		struct folio *folio = page_folio(zt->pages + i);

		nr = folio_nr_pages(folio);
		dirty += !zd_test_clean_folio(zt, folio);
	}
	return dirty;
}

/* The removal would wait for references that nobody drops. */
static long zd_test_clean_refs(struct zd_test *zt)
{
	long refs = zd_test_refs(zt), i;

	for (i = 0; i < refs; i++)
		percpu_ref_put(&zt->pgmap.ref);
	for (i = refs; i < 0; i++)
		percpu_ref_get(&zt->pgmap.ref);
	return refs;
}

static void zd_test_unmap(struct kunit *test)
{
	struct zd_test *zt = test->priv;

	if (zd_test_removed(zt, 0))
		return;
	/* Not for free folios to let a removal go on that has begun. */
	percpu_ref_get(&zt->pgmap.ref);
	KUNIT_EXPECT_EQ(test, zd_test_clean_folios(zt), 0);
	KUNIT_EXPECT_EQ(test, zd_test_clean_refs(zt), 1);
	if (zt->removal) {
		KUNIT_FAIL(test, "the device was not removed");
		while (!zd_test_removed(zt, MAX_SCHEDULE_TIMEOUT))
			;
	} else {
		memunmap_pages(&zt->pgmap);
	}
}

static void zd_test_exit(struct kunit *test)
{
	struct zd_test *zt = test->priv;

	if (!zt)
		return;
	zd_test_join_tasks(test);
	zd_test_unmap(test);
	if (zt->res)
		release_mem_region(zt->res->start, resource_size(zt->res));
	kvfree(zt->saved);
}

/*
 * What memremap_pages() sets up
 */

/* Return: whether @page is one of a folio of @order that nobody uses. */
static bool zd_test_is_idle(struct zd_test *zt, struct page *page,
			    unsigned int order)
{
	struct folio *folio = page_folio(page);

	return folio_order(folio) == order && !folio_ref_count(folio) &&
	       !folio->mapping && !folio->index && !folio_mapcount(folio) &&
	       folio_is_zone_device(folio) && !page_ref_count(page) &&
	       page_pgmap(page) == &zt->pgmap &&
	       atomic_read(&page->_mapcount) == -1;
}

static void pages_after_memremap_are_idle(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	unsigned int order = zt->pgmap.vmemmap_shift;
	unsigned long i, wrong = 0, lost = 0;

	for (i = 0; i < zt->nr_pages; i++) {
		struct page *page = zt->pages + i;
		unsigned long first = ALIGN_DOWN(page_to_pfn(page), 1UL << order);

		wrong += !zd_test_is_idle(zt, page, order);
		lost += folio_pfn(page_folio(page)) != first;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, lost, 0);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
}

static void idle_try_get_fails(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);

	zd_test_save(test);
	KUNIT_EXPECT_FALSE(test, folio_try_get(zd_test_folio(zt, 1)));
	zd_test_expect_saved(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
}

/*
 * Requests
 */

static void request_of_idle_takes_references(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	zd_test_save(test);
	KUNIT_EXPECT_TRUE(test, zone_device_request_folio(folio));
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_expect_frees(test, 0);

	/* Nothing else has changed. */
	atomic_set(&zd_test_saved(zt, &folio->page)->_refcount, 1);
	zd_test_expect_saved(test);
	folio_put(folio);
}

static void request_of_live_warns(struct kunit *test)
{
	struct folio *folio;
	struct zd_test *zt;

	zd_test_requires_warnings(test);
	zt = zd_test_device(test);
	folio = zd_test_folio(zt, 1);
	zd_test_request(test, folio);
	folio_get(folio);
	zd_test_save(test);
	KUNIT_EXPECT_FALSE(test, zone_device_request_folio(folio));
	zd_test_expect_saved(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_expect_frees(test, 0);
	folio_put_refs(folio, 2);
}

/* However many references a folio has, it has one on the device. */
static void get_of_live_takes_no_pgmap_reference(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	zd_test_request(test, folio);
	folio_get(folio);
	KUNIT_EXPECT_TRUE(test, folio_try_get(folio));
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 3);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);

	folio_put(folio);
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_expect_frees(test, 0);
	folio_put(folio);
}

static void request_of_dying_fails(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *live = zd_test_folio(zt, 0), *idle = zd_test_folio(zt, 1);

	zd_test_request(test, live);
	zd_test_start_removal(test);
	zd_test_save(test);
	KUNIT_EXPECT_FALSE(test, zone_device_request_folio(idle));
	KUNIT_EXPECT_NULL(test, get_dev_pagemap(folio_pfn(idle), NULL));
	zd_test_expect_saved(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_expect_frees(test, 0);

	folio_put(live);
	zd_test_expect_removed(test);
}

static void get_of_dying_succeeds(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	zd_test_request(test, folio);
	zd_test_start_removal(test);
	KUNIT_ASSERT_TRUE(test, folio_try_get(folio));
	folio_put(folio);
	KUNIT_ASSERT_FALSE(test, zd_test_is_removed_early(zt));
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	folio_put(folio);
	zd_test_expect_removed(test);
}

/*
 * Free folios
 */

static void zd_test_put_batch(struct folio *folio)
{
	struct folio_batch fbatch;

	folio_batch_init(&fbatch);
	folio_batch_add(&fbatch, folio);
	folios_put(&fbatch);
}

static void zd_test_put_refs(struct folio *folio)
{
	folio_ref_add(folio, 9);
	folio_put_refs(folio, 10);
}

/* Make the reference a pin first. */
static void zd_test_unpin(struct folio *folio)
{
	if (folio_test_large(folio))
		atomic_inc(&folio->_pincount);
	else
		folio_ref_add(folio, GUP_PIN_COUNTING_BIAS - 1);
	node_stat_mod_folio(folio, NR_FOLL_PIN_ACQUIRED, 1);
	unpin_user_page(&folio->page);
}

static void (*const zd_test_puts[])(struct folio *folio) = {
	folio_put, zd_test_put_refs, zd_test_put_batch, zd_test_unpin,
};

static void put_of_last_reference_frees_once(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned int i;

	zd_test_save(test);
	for (i = 0; i < ARRAY_SIZE(zd_test_puts); i++) {
		zd_test_request(test, folio);
		KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
		zd_test_puts[i](folio);
		KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
		zd_test_expect_frees(test, i + 1);
		zd_test_expect_free(test, i, folio_pfn(folio), 1);
	}
	zd_test_expect_saved(test);
}

static void put_of_folios_frees_in_order(struct kunit *test)
{
	static const unsigned int order[ZD_TEST_FOLIOS] = { 2, 0, 3, 1 };
	struct zd_test *zt = zd_test_device(test);
	unsigned int i;

	for (i = 0; i < ZD_TEST_FOLIOS; i++)
		zd_test_request(test, zd_test_folio(zt, i));
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), ZD_TEST_FOLIOS);

	for (i = 0; i < ZD_TEST_FOLIOS; i++) {
		struct folio *folio = zd_test_folio(zt, order[i]);

		folio_put(folio);
		zd_test_expect_frees(test, i + 1);
		zd_test_expect_free(test, i, folio_pfn(folio),
				    ZD_TEST_FOLIOS - i);
	}
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
}

/* As a driver does whose next user has been waiting for a page. */
static void page_free_may_request_again(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	zd_test_request(test, folio);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zt->again = true;
	folio_put(folio);
	zt->again = false;
	zd_test_expect_frees(test, 1);
	KUNIT_EXPECT_TRUE(test, zt->frees[0].requested);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	folio_put(folio);
	zd_test_expect_frees(test, 2);
}

static void page_free_of_dying_cannot_request_again(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned long pfn = folio_pfn(folio);

	zd_test_request(test, folio);
	zd_test_start_removal(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zt->again = true;
	folio_put(folio);
	zd_test_expect_removed(test);
	zd_test_expect_frees(test, 1);
	zd_test_expect_free(test, 0, pfn, 1);
	KUNIT_EXPECT_FALSE(test, zt->frees[0].requested);
}

/* Whose a page is, is for the DAX core to say: also when it is idle. */
static void zd_test_own(struct zd_test *zt, struct folio *folio)
{
	folio->mapping = (struct address_space *)zt;
	folio->index = 7;
}

static void zd_test_disown(struct folio *folio)
{
	folio->mapping = NULL;
	folio->index = 0;
}

static void put_keeps_owner(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 0);

	if (!folio_test_large(folio))
		zd_test_join(test, folio, 2);
	zd_test_own(zt, folio);
	zd_test_save(test);
	zd_test_request(test, folio);
	folio_put(folio);
	zd_test_expect_saved(test);
	zd_test_disown(folio);
	zone_device_split_folio(folio);
}

static void put_keeps_share_count(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	folio->page.share = 3;
	zd_test_save(test);
	zd_test_request(test, folio);
	folio_put(folio);
	zd_test_expect_saved(test);
	zd_test_disown(folio);
}

/* What was migrated here has left where it came from. */
static void put_resets_mapping(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	zd_test_save(test);
	zd_test_request(test, folio);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	folio->mapping = (struct address_space *)zt;
	folio_put(folio);
	zd_test_expect_saved(test);
	zd_test_expect_free(test, 0, folio_pfn(folio), 1);

	zd_test_request(test, folio);
	folio->mapping = (void *)((unsigned long)zt | PAGE_MAPPING_ANON);
	SetPageAnonExclusive(&folio->page);
	folio_put(folio);
	zd_test_expect_saved(test);
	zd_test_expect_free(test, 1, folio_pfn(folio), 1);
}

/* Between a refcount of 0 and what follows, the next user may come. */
static void put_late_keeps_next_request(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);

	zd_test_request(test, folio);
	KUNIT_ASSERT_TRUE(test, folio_put_testzero(folio));
	zd_test_own(zt, folio);
	zd_test_request(test, folio);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 2);
	zd_test_save(test);
	__folio_put(folio);
	zd_test_expect_saved(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_disown(folio);
	folio_put(folio);
}

struct zd_test_late {
	const char *name;
	unsigned int page;	/* that is freed late, as part of a folio */
};

static const struct zd_test_late zd_test_lates[] = {
	{ "head", 0 }, { "second", 1 }, { "last", 7 },
};

KUNIT_ARRAY_PARAM_DESC(late, zd_test_lates, name);

static void put_late_finds_page_joined(struct kunit *test)
{
	const struct zd_test_late *late = test->param_value;
	struct zd_test *zt = zd_test_fs_dax_device(test);
	struct folio *folio = zd_test_folio(zt, 0);
	struct folio *page = zd_test_folio(zt, late->page);

	zd_test_request(test, page);
	KUNIT_ASSERT_TRUE(test, folio_put_testzero(page));
	zd_test_join(test, folio, 3);
	zd_test_own(zt, folio);
	zd_test_request(test, folio);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 2);
	zd_test_save(test);
	__folio_put(page);
	zd_test_expect_saved(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_disown(folio);
	folio_put(folio);
	zone_device_split_folio(folio);
}

static void put_late_finds_folio_split(struct kunit *test)
{
	struct zd_test *zt = zd_test_fs_dax_device(test);
	struct folio *folio = zd_test_folio(zt, 8), *whole = zd_test_folio(zt, 0);

	zd_test_join(test, folio, 3);
	zd_test_request(test, folio);
	KUNIT_ASSERT_TRUE(test, folio_put_testzero(folio));
	zone_device_split_folio(folio);
	zd_test_join(test, whole, 4);
	zd_test_save(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	__folio_put(folio);
	zd_test_expect_saved(test);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
	zone_device_split_folio(whole);
}

static const enum hrtimer_mode zd_test_interrupts[] = {
	HRTIMER_MODE_REL, HRTIMER_MODE_REL_SOFT,
};

static void put_in_interrupt_frees(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(zd_test_interrupts); i++) {
		zd_test_request(test, folio);
		KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
		zd_test_put_in_interrupt(test, folio, zd_test_interrupts[i]);
		KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
		zd_test_expect_frees(test, i + 1);
		zd_test_expect_free(test, i, folio_pfn(folio), 1);
	}
}

/*
 * Waits for idle folios
 */

static void put_of_last_reference_wakes(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(zd_test_puts); i++) {
		struct zd_test_task *t;

		zd_test_request(test, folio);
		folio_get(folio);
		zt->nr_tasks = 0;
		t = zd_test_wait_idle(test, folio);
		folio_put(folio);
		KUNIT_EXPECT_TRUE(test, zd_test_sleeps(t));
		zd_test_puts[i](folio);
		zd_test_expect_woken(test, t);
	}
}

static void put_of_last_reference_wakes_all(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned int i;

	zd_test_request(test, folio);
	for (i = 0; i < ZD_TEST_CROWD; i++)
		zd_test_wait_idle(test, folio);
	folio_put(folio);
	for (i = 0; i < ZD_TEST_CROWD; i++)
		zd_test_expect_woken(test, &zt->tasks[i]);
}

static void put_in_interrupt_wakes(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(zd_test_interrupts); i++) {
		struct zd_test_task *t;

		zd_test_request(test, folio);
		zt->nr_tasks = 0;
		t = zd_test_wait_idle(test, folio);
		zd_test_put_in_interrupt(test, folio, zd_test_interrupts[i]);
		zd_test_expect_woken(test, t);
	}
}

/* Return: whether the other side has come to @round. */
static bool zd_test_meet(const unsigned long *other, unsigned long round)
{
	unsigned long end = jiffies + 2 * timeout * HZ;

	/* What @other did before it came here has been done. */
	while (smp_load_acquire(other) != round) {
		if (time_after(jiffies, end))
			return false;
		cond_resched();
		cpu_relax();
	}
	return true;
}

static void task_wait_rounds(struct zd_test_task *t)
{
	unsigned long round;

	for (round = 1; round <= ZD_TEST_WAITS; round++) {
		if (!zd_test_meet(&t->zt->round, round))
			return;
		task_wait_idle(t);
		/* ->left is there, see zd_test_meet(). */
		smp_store_release(&t->round, round);
		if (t->left <= 1)
			return;
	}
}

/* The last reference goes while somebody is about to sleep. */
static void put_races_with_wait_and_wakes(struct kunit *test)
{
	struct zd_test_task *t;
	struct folio *folio;
	struct zd_test *zt;
	unsigned long round;

	if (num_online_cpus() < 2)
		kunit_skip(test, "takes two CPUs");
	zt = zd_test_device(test);
	folio = zd_test_folio(zt, 1);
	t = zd_test_start(test, task_wait_rounds, folio);
	for (round = 1; round <= ZD_TEST_WAITS; round++) {
		zd_test_request(test, folio);
		/* The folio is in use, see zd_test_meet(). */
		smp_store_release(&zt->round, round);
		ndelay(round % 100 * 50);
		folio_put(folio);
		KUNIT_ASSERT_TRUE(test, zd_test_meet(&t->round, round));
		if (t->left <= 1)
			break;
	}
	zd_test_expect_woken(test, t);
}

/*
 * Balance
 */

static void task_request_own(struct zd_test_task *t)
{
	while (t->requests < ZD_TEST_ROUNDS) {
		if (!zone_device_request_folio(t->folio))
			return;
		t->requests++;
		folio_get(t->folio);
		folio_put(t->folio);
		folio_put(t->folio);
	}
}

static unsigned long zd_test_requests(struct zd_test *zt)
{
	unsigned long requests = 0;
	unsigned int i;

	for (i = 0; i < ZD_TEST_CROWD; i++)
		requests += zt->tasks[i].requests;
	return requests;
}

static void requests_by_crowd_are_balanced(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	unsigned int i;

	for (i = 0; i < ZD_TEST_CROWD; i++)
		zd_test_start(test, task_request_own, zd_test_folio(zt, i));
	zd_test_join_tasks(test);
	KUNIT_EXPECT_EQ(test, zd_test_requests(zt),
			ZD_TEST_CROWD * ZD_TEST_ROUNDS);
	zd_test_expect_frees(test, ZD_TEST_CROWD * ZD_TEST_ROUNDS);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
}

/* As page faults of files that share the page do. */
static void task_request_shared(struct zd_test_task *t)
{
	struct folio *folio = t->folio;
	unsigned int i;

	for (i = 0; i < ZD_TEST_ROUNDS; i++) {
		if (!folio_try_get(folio)) {
			spin_lock(&t->zt->lock);
			if (!folio_try_get(folio))
				t->requests += zone_device_request_folio(folio);
			spin_unlock(&t->zt->lock);
		}
		folio_put(folio);
	}
}

static void requests_of_one_folio_are_balanced(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	unsigned int i;

	zd_test_save(test);
	for (i = 0; i < ZD_TEST_CROWD; i++)
		zd_test_start(test, task_request_shared, zd_test_folio(zt, 1));
	zd_test_join_tasks(test);
	KUNIT_EXPECT_GT(test, zd_test_requests(zt), 0);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
	zd_test_expect_saved(test);
}

/* All of them have begun. */
static bool zd_test_all_request(struct zd_test *zt)
{
	unsigned long end = jiffies + timeout * HZ;
	unsigned int i;

	for (i = 0; i < ZD_TEST_CROWD; i++) {
		while (!READ_ONCE(zt->tasks[i].requests)) {
			if (time_after(jiffies, end))
				return false;
			usleep_range(200, 400);
		}
	}
	return true;
}

static void task_request_until_dying(struct zd_test_task *t)
{
	unsigned long end = jiffies + timeout * HZ;

	while (time_before(jiffies, end)) {
		if (!zone_device_request_folio(t->folio)) {
			t->left = 1;
			return;
		}
		t->requests++;
		folio_put(t->folio);
		cond_resched();
	}
}

static void requests_while_device_dies_fail_for_good(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *live = zd_test_folio(zt, ZD_TEST_CROWD);
	unsigned int i;

	/* What keeps the memmap until all of the crowd have come to an end. */
	zd_test_request(test, live);
	for (i = 0; i < ZD_TEST_CROWD; i++)
		zd_test_start(test, task_request_until_dying,
			      zd_test_folio(zt, i));
	KUNIT_EXPECT_TRUE(test, zd_test_all_request(zt));
	zd_test_start_removal(test);
	zd_test_join_tasks(test);
	for (i = 0; i < ZD_TEST_CROWD; i++) {
		KUNIT_EXPECT_EQ(test, zt->tasks[i].left, 1);
		KUNIT_EXPECT_FALSE(test, zone_device_request_folio(zd_test_folio(zt, i)));
	}
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_expect_frees(test, zd_test_requests(zt));
	folio_put(live);
	zd_test_expect_removed(test);
}

/*
 * Folios that are joined and split
 */

struct zd_test_size {
	const char *name;
	unsigned int level;
};

static const struct zd_test_size zd_test_sizes[] = {
	{ "order_1", 0 }, { "order_2", 1 }, { "order_3", 2 }, { "PMD", 3 },
	{ "PUD", 4 },
};

KUNIT_ARRAY_PARAM_DESC(size, zd_test_sizes, name);

/* Not a constant on every architecture. */
static unsigned int zd_test_order(struct kunit *test)
{
	const unsigned int orders[] = { 1, 2, 3, PMD_ORDER, PUD_ORDER };
	const struct zd_test_size *size = test->param_value;

	if (size->level == 4 &&
	    !IS_ENABLED(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))
		kunit_skip(test, "no page faults of this size");
	return orders[size->level];
}

/* A page that can become a folio of @order, of a device that has others too. */
static struct folio *zd_test_joinable(struct kunit *test, unsigned int order)
{
	unsigned long nr = 1UL << order;
	struct zd_test *zt = zd_test_map(test, &zd_test_fs_dax, 2 * nr + 1);
	unsigned long pfn = page_to_pfn(zt->pages);

	return pfn_folio(ALIGN(pfn + 1, nr));
}

static void join_makes_one_folio(struct kunit *test)
{
	unsigned int order = zd_test_order(test);
	struct folio *folio = zd_test_joinable(test, order);
	unsigned long nr = 1UL << order, i, wrong = 0, lost = 0, tails = 0;
	struct zd_test *zt = test->priv;

	zd_test_save(test);
	zd_test_join(test, folio, order);
	KUNIT_EXPECT_EQ(test, folio_order(folio), order);
	KUNIT_EXPECT_EQ(test, folio_nr_pages(folio), nr);
	KUNIT_EXPECT_EQ(test, folio_mapcount(folio), 0);
	KUNIT_EXPECT_EQ(test, folio_entire_mapcount(folio), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&folio->_nr_pages_mapped), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&folio->_pincount), 0);
	if (order > 1)
		KUNIT_EXPECT_TRUE(test, list_empty(&folio->_deferred_list));
	for (i = 0; i < nr; i++) {
		struct page *page = folio_page(folio, i);

		wrong += !zd_test_is_idle(zt, page, order);
		lost += page_folio(page) != folio;
		tails += PageTail(page) && !PageHead(page);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, lost, 0);
	KUNIT_EXPECT_EQ(test, tails, nr - 1);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
	zd_test_expect_saved_but(test, folio, nr);
	zone_device_split_folio(folio);
}

static void split_restores_pages(struct kunit *test)
{
	unsigned int order = zd_test_order(test);
	struct folio *folio = zd_test_joinable(test, order);

	zd_test_save(test);
	zd_test_join(test, folio, order);
	zone_device_split_folio(folio);
	zd_test_expect_saved(test);
}

/* Nor is anything left of what was done with the folio. */
static void split_of_used_before_restores_pages(struct kunit *test)
{
	unsigned int order = zd_test_order(test);
	struct folio *folio = zd_test_joinable(test, order);
	struct zd_test *zt = test->priv;

	zd_test_save(test);
	zd_test_join(test, folio, order);
	zd_test_own(zt, folio);
	zd_test_request(test, folio);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	zd_test_unpin(folio);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
	folio_set_large_rmappable(folio);
	zd_test_disown(folio);
	zone_device_split_folio(folio);
	zd_test_expect_saved(test);
}

static void split_makes_pages_joinable(struct kunit *test)
{
	struct folio *folio = zd_test_joinable(test, 4);

	zd_test_save(test);
	zd_test_join(test, pfn_folio(folio_pfn(folio) + 8), 3);
	zone_device_split_folio(pfn_folio(folio_pfn(folio) + 8));
	zd_test_join(test, folio, 4);
	zone_device_split_folio(folio);
	zd_test_join(test, folio, 2);
	KUNIT_EXPECT_EQ(test, folio_order(folio), 2);
	zone_device_split_folio(folio);
	zd_test_expect_saved(test);
}

static void split_of_small_folio_is_none(struct kunit *test)
{
	struct zd_test *zt = zd_test_fs_dax_device(test);

	zd_test_save(test);
	zone_device_split_folio(zd_test_folio(zt, 1));
	zd_test_expect_saved(test);
}

static void split_of_fixed_order_is_none(struct kunit *test)
{
	struct zd_test *zt = zd_test_map(test, &zd_test_generic_large, 0);

	zd_test_save(test);
	zone_device_split_folio(zd_test_folio(zt, 1));
	zd_test_expect_saved(test);
}

static void split_of_live_warns(struct kunit *test)
{
	struct folio *folio;

	zd_test_requires_warnings(test);
	folio = zd_test_joinable(test, 2);
	zd_test_join(test, folio, 2);
	zd_test_request(test, folio);
	zd_test_save(test);
	zone_device_split_folio(folio);
	zd_test_expect_saved(test);
	folio_put(folio);
	zone_device_split_folio(folio);
}

/* What keeps a page from becoming part of a folio. */
static void zd_test_obstruct_use(struct kunit *test, struct page *page)
{
	zd_test_request(test, page_folio(page));
}

static void zd_test_obstruct_mapping(struct kunit *test, struct page *page)
{
	page->mapping = test->priv;
}

static void zd_test_obstruct_index(struct kunit *test, struct page *page)
{
	page->index = 1;
}

static void zd_test_obstruct_share(struct kunit *test, struct page *page)
{
	page->share = 2;
}

static void zd_test_obstruct_compound(struct kunit *test, struct page *page)
{
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), 2);

	zd_test_join(test, pfn_folio(pfn), 1);
}

struct zd_test_obstacle {
	const char *name;
	void (*obstruct)(struct kunit *test, struct page *page);
};

static const struct zd_test_obstacle zd_test_obstacles[] = {
	{ "use", zd_test_obstruct_use },
	{ "mapping", zd_test_obstruct_mapping },
	{ "index", zd_test_obstruct_index },
	{ "share", zd_test_obstruct_share },
	{ "compound", zd_test_obstruct_compound },
};

KUNIT_ARRAY_PARAM_DESC(obstacle, zd_test_obstacles, name);

static void join_of_used_page_changes_nothing(struct kunit *test)
{
	static const unsigned int pages[] = { 0, 1, 8, 14, 15 };
	const struct zd_test_obstacle *obstacle = test->param_value;
	struct folio *folio = zd_test_joinable(test, 4);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		struct page *page = folio_page(folio, pages[i]);

		obstacle->obstruct(test, page);
		zd_test_save(test);
		KUNIT_EXPECT_FALSE_MSG(test, zone_device_join_folio(folio, 4),
				       "page %u", pages[i]);
		zd_test_expect_saved(test);
		zd_test_clean_folio(test->priv, page_folio(page));
	}
}

static void join_beside_used_pages_succeeds(struct kunit *test)
{
	struct folio *folio = zd_test_joinable(test, 2);
	struct folio *before = pfn_folio(folio_pfn(folio) - 1);
	struct folio *after = pfn_folio(folio_pfn(folio) + 4);

	zd_test_request(test, before);
	zd_test_request(test, after);
	zd_test_save(test);
	zd_test_join(test, folio, 2);
	zd_test_expect_saved_but(test, folio, 4);
	zone_device_split_folio(folio);
	zd_test_expect_saved(test);
	folio_put(before);
	folio_put(after);
}

static void joined_folio_is_requested_as_one(struct kunit *test)
{
	unsigned int order = zd_test_order(test);
	struct folio *folio = zd_test_joinable(test, order);
	struct page *last = folio_page(folio, (1UL << order) - 1);
	struct zd_test *zt = test->priv;

	zd_test_join(test, folio, order);
	zd_test_save(test);
	zd_test_request(test, folio);
	get_page(last);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 2);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	put_page(last);
	put_page(last);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 0);
	zd_test_expect_saved(test);
	zone_device_split_folio(folio);
}

/*
 * Devices that go
 */

static void removal_waits_for_live_folio(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	struct folio *folio = zd_test_folio(zt, 1);
	unsigned long pfn = folio_pfn(folio);

	zd_test_request(test, folio);
	zd_test_start_removal(test);
	KUNIT_ASSERT_FALSE(test, zd_test_is_removed_early(zt));
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, zd_test_refs(zt), 1);
	folio_put(folio);
	zd_test_expect_removed(test);
	zd_test_expect_frees(test, 1);
	zd_test_expect_free(test, 0, pfn, 1);
	KUNIT_EXPECT_NULL(test, get_dev_pagemap(pfn, NULL));
}

static void removal_waits_for_all_folios(struct kunit *test)
{
	struct zd_test *zt = zd_test_device(test);
	unsigned int i;

	for (i = 0; i < ZD_TEST_FOLIOS; i++)
		zd_test_request(test, zd_test_folio(zt, i));
	zd_test_start_removal(test);
	for (i = 0; i < ZD_TEST_FOLIOS; i++) {
		KUNIT_ASSERT_FALSE(test, zd_test_is_removed_early(zt));
		folio_put(zd_test_folio(zt, i));
	}
	zd_test_expect_removed(test);
	zd_test_expect_frees(test, ZD_TEST_FOLIOS);
}

static char zd_test_report[80];
static bool zd_test_reported;

static void zd_test_probe_console(void *ignore, const char *text, size_t len)
{
	if (zd_test_report[0] && strnstr(text, zd_test_report, len))
		WRITE_ONCE(zd_test_reported, true);
}

static void zd_test_forget_console(void *ignore)
{
	unregister_trace_console(zd_test_probe_console, NULL);
	tracepoint_synchronize_unregister();
	zd_test_report[0] = '\0';
}

static void zd_test_watch_console(struct kunit *test)
{
	if (register_trace_console(zd_test_probe_console, NULL))
		kunit_skip(test, "without tracepoints nobody sees the report");
	zd_test_reported = false;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   zd_test_forget_console,
							   NULL));
}

/* A large folio is one, and those behind it are counted. */
static void removal_reports_live_folios(struct kunit *test)
{
	unsigned long end = jiffies + timeout * HZ;
	struct folio *folio, *other;

	zd_test_watch_console(test);
	folio = zd_test_joinable(test, 2);
	other = pfn_folio(folio_pfn(folio) + 9);
	zd_test_join(test, folio, 2);
	zd_test_request(test, folio);
	zd_test_request(test, other);
	snprintf(zd_test_report, sizeof(zd_test_report),
		 "waiting for 2 busy folios, the first at pfn %#lx",
		 folio_pfn(folio));
	zd_test_start_removal(test);
	while (!READ_ONCE(zd_test_reported) && time_before(jiffies, end))
		msleep(20);
	KUNIT_EXPECT_TRUE(test, zd_test_reported);

	folio_put(other);
	KUNIT_ASSERT_FALSE(test, zd_test_is_removed_early(test->priv));
	zd_test_disown(folio);
	KUNIT_ASSERT_TRUE(test, folio_put_testzero(folio));
	zone_device_split_folio(folio);
	__folio_put(folio);
	zd_test_expect_removed(test);
}

static struct kunit_case zone_device_cases[] = {
	KUNIT_CASE_PARAM(pages_after_memremap_are_idle, kind_gen_params),
	KUNIT_CASE_PARAM(idle_try_get_fails, kind_gen_params),

	KUNIT_CASE_PARAM(request_of_idle_takes_references, kind_gen_params),
	KUNIT_CASE_PARAM(request_of_live_warns, kind_gen_params),
	KUNIT_CASE_PARAM(get_of_live_takes_no_pgmap_reference, kind_gen_params),
	KUNIT_CASE_PARAM(request_of_dying_fails, kind_gen_params),
	KUNIT_CASE_PARAM(get_of_dying_succeeds, kind_gen_params),

	KUNIT_CASE_PARAM(put_of_last_reference_frees_once, kind_gen_params),
	KUNIT_CASE_PARAM(put_of_folios_frees_in_order, kind_gen_params),
	KUNIT_CASE_PARAM(page_free_may_request_again, driver_kind_gen_params),
	KUNIT_CASE_PARAM(page_free_of_dying_cannot_request_again,
			 driver_kind_gen_params),
	KUNIT_CASE_PARAM(put_keeps_owner, dax_kind_gen_params),
	KUNIT_CASE_PARAM(put_keeps_share_count, dax_kind_gen_params),
	KUNIT_CASE_PARAM(put_resets_mapping, migrated_kind_gen_params),
	KUNIT_CASE_PARAM(put_late_keeps_next_request, dax_kind_gen_params),
	KUNIT_CASE_PARAM(put_late_finds_page_joined, late_gen_params),
	KUNIT_CASE(put_late_finds_folio_split),
	KUNIT_CASE_PARAM(put_in_interrupt_frees, kind_gen_params),

	KUNIT_CASE_PARAM(put_of_last_reference_wakes, dax_kind_gen_params),
	KUNIT_CASE_PARAM(put_of_last_reference_wakes_all, dax_kind_gen_params),
	KUNIT_CASE_PARAM(put_in_interrupt_wakes, dax_kind_gen_params),
	KUNIT_CASE_PARAM(put_races_with_wait_and_wakes, dax_kind_gen_params),

	KUNIT_CASE_PARAM(requests_by_crowd_are_balanced, kind_gen_params),
	KUNIT_CASE_PARAM(requests_of_one_folio_are_balanced,
			 dax_kind_gen_params),
	KUNIT_CASE_PARAM(requests_while_device_dies_fail_for_good,
			 kind_gen_params),

	KUNIT_CASE_PARAM(join_makes_one_folio, size_gen_params),
	KUNIT_CASE_PARAM(join_of_used_page_changes_nothing,
			 obstacle_gen_params),
	KUNIT_CASE(join_beside_used_pages_succeeds),
	KUNIT_CASE_PARAM(joined_folio_is_requested_as_one, size_gen_params),
	KUNIT_CASE_PARAM(split_restores_pages, size_gen_params),
	KUNIT_CASE_PARAM(split_of_used_before_restores_pages, size_gen_params),
	KUNIT_CASE(split_makes_pages_joinable),
	KUNIT_CASE(split_of_small_folio_is_none),
	KUNIT_CASE(split_of_fixed_order_is_none),
	KUNIT_CASE(split_of_live_warns),

	KUNIT_CASE_PARAM(removal_waits_for_live_folio, kind_gen_params),
	KUNIT_CASE_PARAM(removal_waits_for_all_folios, kind_gen_params),
	KUNIT_CASE_SLOW(removal_reports_live_folios),
	{}
};

static struct kunit_suite zone_device_suite = {
	.name		= "zone_device",
	.init		= zd_test_init,
	.exit		= zd_test_exit,
	.test_cases	= zone_device_cases,
};

kunit_test_suite(zone_device_suite);

MODULE_DESCRIPTION("KUnit tests for device memory");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
