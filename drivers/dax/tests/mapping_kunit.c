// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for the entries of DAX files
 *
 * Entries are made as page faults make them, with dax_grab_entry() and
 * dax_insert_entry(), in inodes of a filesystem that is never visible. Their
 * pages are those of a pgmap at physical addresses that have no memory: struct
 * pages are all that drivers/dax/mapping.c looks at. That goes for what is
 * mapped as well, which is pinned, but not accessed.
 *
 * Whoever is to wait is a thread, started with dax_test_start(). A wake-up that
 * is lost shows in dax_test_join(), which does not wait for good.
 */

#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/dax.h>
#include <linux/dax-mapping.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/panic.h>
#include <linux/pseudo_fs.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/writeback.h>
#include <linux/xarray.h>

#include "../dax-private.h"

/* Where the files of most cases have their entries: not at 0. */
#define DAX_TEST_INDEX		BIT(PUD_ORDER)

static bool warnings;
module_param(warnings, bool, 0444);
MODULE_PARM_DESC(warnings, "Run the cases in which the kernel is right to warn");

static unsigned int timeout = 20;
module_param(timeout, uint, 0444);
MODULE_PARM_DESC(timeout, "Seconds after which a thread that waits is stuck");

/*
 * The fixture of a suite
 */

static struct {
	struct vfsmount *mnt;
	struct resource *res;
	struct dev_pagemap pgmap;
	struct dax_device *dax_dev;
	unsigned long pfn;	/* of a page that the largest entry can begin with */
	struct page idle;	/* what any of the pages is like when not used */
	bool stuck;		/* a thread has not come back: nothing can go */
} dax_test_world;

/* The largest order that page faults ask for. */
static unsigned int dax_test_max_order(void)
{
	return IS_ENABLED(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD) ?
		PUD_ORDER : PMD_ORDER;
}

static struct page *dax_test_page(unsigned long page)
{
	return pfn_to_page(dax_test_world.pfn + page);
}

/* The folio that a page is part of now. */
static struct folio *dax_test_folio(unsigned long page)
{
	return page_folio(dax_test_page(page));
}

/* What a case has in ->i_private to follow the end of an inode. */
struct dax_test_eviction {
	struct completion begun;
	struct completion go_on;	/* a filesystem may take its time */
	struct completion done;
};

static void dax_test_evict_inode(struct inode *inode)
{
	struct dax_test_eviction *eviction = inode->i_private;

	if (eviction) {
		complete_all(&eviction->begun);
		wait_for_completion(&eviction->go_on);
	}
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (eviction)
		complete_all(&eviction->done);
}

static const struct super_operations dax_test_sops = {
	.statfs		= simple_statfs,
	.evict_inode	= dax_test_evict_inode,
};

static int dax_test_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, 0x44415854);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &dax_test_sops;
	return 0;
}

static struct file_system_type dax_test_fs_type = {
	.name			= "dax_kunit",
	.owner			= THIS_MODULE,
	.init_fs_context	= dax_test_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static struct resource *dax_test_map_device(struct dev_pagemap *pgmap,
					    unsigned long size)
{
	struct resource *res;
	void *addr;

	res = request_free_mem_region(&iomem_resource, size, "dax_kunit");
	if (IS_ERR(res))
		return res;

	memset(pgmap, 0, sizeof(*pgmap));
	pgmap->type = MEMORY_DEVICE_FS_DAX;
	pgmap->range.start = res->start;
	pgmap->range.end = res->end;
	pgmap->nr_range = 1;
	pgmap->owner = &dax_test_world;
	addr = memremap_pages(pgmap, NUMA_NO_NODE);
	if (IS_ERR(addr)) {
		release_mem_region(res->start, resource_size(res));
		return ERR_CAST(addr);
	}
	return res;
}

static void dax_test_unmap_device(struct dev_pagemap *pgmap,
				  struct resource *res)
{
	memunmap_pages(pgmap);
	release_mem_region(res->start, resource_size(res));
}

static int dax_test_map_pages(void)
{
	unsigned int order = dax_test_max_order();
	struct resource *res;

	/* Twice the largest entry, so that an aligned one is inside. */
	res = dax_test_map_device(&dax_test_world.pgmap,
				  PAGE_SIZE << (order + 1));
	if (IS_ERR(res))
		return PTR_ERR(res);

	dax_test_world.res = res;
	dax_test_world.pfn = ALIGN(PHYS_PFN(res->start), 1UL << order);
	dax_test_world.idle = *dax_test_page(0);
	return 0;
}

static void dax_test_unmap_pages(void)
{
	dax_test_unmap_device(&dax_test_world.pgmap, dax_test_world.res);
}

static int dax_test_suite_init(struct kunit_suite *suite)
{
	int error;

	if (dax_test_world.stuck)
		return -EBUSY;
	error = dax_test_map_pages();
	if (error)
		return error;

	/* Its write cache is off: nothing is flushed, as there is no memory. */
	dax_test_world.dax_dev = alloc_dax(NULL, NULL);
	if (IS_ERR(dax_test_world.dax_dev)) {
		error = PTR_ERR(dax_test_world.dax_dev);
		goto unmap_pages;
	}

	dax_test_world.mnt = kern_mount(&dax_test_fs_type);
	if (IS_ERR(dax_test_world.mnt)) {
		error = PTR_ERR(dax_test_world.mnt);
		goto free_dax_dev;
	}
	return 0;

free_dax_dev:
	kill_dax(dax_test_world.dax_dev);
	put_dax(dax_test_world.dax_dev);
unmap_pages:
	dax_test_unmap_pages();
	return error;
}

/*
 * Pages do not differ at the start. One that is used has a reference, a file or
 * a folio with others; one that was has to be as it was, in every field.
 */
static bool dax_test_is_used(unsigned long page)
{
	return memcmp(dax_test_page(page), &dax_test_world.idle,
		      sizeof(struct page));
}

/* The number of pages among the first @pages that are not as they were. */
static unsigned long dax_test_used_pages(unsigned long pages)
{
	unsigned long page, used = 0;

	for (page = 0; page < pages; page++)
		used += dax_test_is_used(page);
	return used;
}

static void dax_test_unpin_pages(unsigned long pages)
{
	unsigned long page;

	for (page = 0; page < pages; page++) {
		while (!dax_folio_is_idle(dax_test_folio(page)))
			folio_put(dax_test_folio(page));
	}
}

/* A case has failed. Others are not to fail for that. */
static void dax_test_clean_pages(unsigned long pages)
{
	unsigned long page;

	dax_test_unpin_pages(pages);
	for (page = 0; page < pages; page++)
		*dax_test_page(page) = dax_test_world.idle;
}

static void dax_test_suite_exit(struct kunit_suite *suite)
{
	unsigned long used;

	if (dax_test_world.stuck)
		return;
	flush_delayed_fput();
	kern_unmount(dax_test_world.mnt);
	kill_dax(dax_test_world.dax_dev);
	put_dax(dax_test_world.dax_dev);

	used = dax_test_used_pages(1UL << dax_test_max_order());
	if (used) {
		/* The only way to have a suite fail from here. */
		kunit_err(suite, "%lu pages are still in use\n", used);
		suite->suite_init_err = -EBUSY;
	}
	dax_test_unmap_pages();
}

/*
 * The fixture of a case
 */

struct dax_test {
	struct list_head tasks;
	struct inode *inodes[2];
	unsigned int nr_inodes;
	unsigned long pages;	/* those that were used, from the first one on */
	atomic_t owners;	/* of the one entry that tasks contend for */
	atomic_t crowds;	/* how often there was more than one */
	atomic_t turns;		/* how often there was one */
	atomic_t missing;	/* of the tasks that go on when all have come */
};

struct dax_test_task {
	struct list_head list;
	struct dax_test *dt;
	const char *name;
	void (*fn)(struct dax_test_task *t);
	struct task_struct *task;
	struct completion done;
	bool started;
	bool owned;		/* it has had the entry */
	bool joined;

	/* what to do it to: pages of a file, or of the device */
	struct inode *inode;
	pgoff_t index;
	unsigned int order;
	struct page *page;
	struct dev_pagemap *pgmap;

	/* what came out */
	void *entry;
	struct folio *folio;
	dax_entry_t cookie;
	vm_fault_t fault;
	unsigned int waits;
	int ret;
};

static int dax_test_init(struct kunit *test)
{
	struct dax_test *dt = kzalloc(sizeof(*dt), GFP_KERNEL);

	if (!dt)
		return -ENOMEM;
	INIT_LIST_HEAD(&dt->tasks);
	test->priv = dt;
	return 0;
}

/* Mapped pages are written to, as far as their page tables tell. */
static const struct address_space_operations dax_test_aops = {
	.dirty_folio	= noop_dirty_folio,
};

static struct inode *dax_test_inode(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct inode *inode;

	KUNIT_ASSERT_LT(test, dt->nr_inodes, ARRAY_SIZE(dt->inodes));
	inode = new_inode(dax_test_world.mnt->mnt_sb);
	KUNIT_ASSERT_NOT_NULL(test, inode);
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFREG;
	inode->i_flags = S_DAX;
	inode->i_data.a_ops = &dax_test_aops;
	dt->inodes[dt->nr_inodes++] = inode;
	return inode;
}

/* The entry that has the pages of the device from @page on. */
static void *dax_test_entry(struct kunit *test, unsigned long page,
			    unsigned int order)
{
	struct dax_test *dt = test->priv;

	dt->pages = max(dt->pages, page + (1UL << order));
	return dax_make_entry(dax_test_world.pfn + page, order);
}

/* A reference, as those who pin pages have on what is mapped. */
static struct folio *dax_test_pin(struct kunit *test, unsigned long page)
{
	struct folio *folio = dax_test_folio(page);
	struct dax_test *dt = test->priv;

	dt->pages = max(dt->pages, page + 1);
	KUNIT_ASSERT_TRUE(test, folio_try_get(folio) ||
			  zone_device_request_folio(folio));
	return folio;
}

static void *dax_test_load(struct inode *inode, pgoff_t index)
{
	return xa_load(&inode->i_data.i_pages, index);
}

static void *dax_test_grab(struct inode *inode, pgoff_t index,
			   unsigned int order)
{
	XA_STATE_ORDER(xas, &inode->i_data.i_pages, index, order);

	return dax_grab_entry(&xas, &inode->i_data, order);
}

static void *dax_test_lock(struct kunit *test, struct inode *inode,
			   pgoff_t index, unsigned int order)
{
	void *entry = dax_test_grab(inode, index, order);

	KUNIT_ASSERT_FALSE(test, dax_is_fault(entry));
	return entry;
}

static void dax_test_unlock(struct inode *inode, pgoff_t index, void *entry)
{
	XA_STATE(xas, &inode->i_data.i_pages, index);

	dax_unlock_entry(&xas, entry);
}

/* As a page fault does that finds @new at @index of the file. */
static unsigned int dax_test_fault(struct inode *inode, pgoff_t index,
				   void *new, unsigned int flags)
{
	unsigned int order = dax_entry_order(new);
	XA_STATE_ORDER(xas, &inode->i_data.i_pages, index, order);
	void *entry = dax_grab_entry(&xas, &inode->i_data, order);
	vm_fault_t fault;
	int id;

	if (dax_is_fault(entry))
		return (__force unsigned int)dax_entry_to_fault(entry);
	id = dax_read_lock();
	fault = dax_insert_entry(&xas, &inode->i_data, &entry, new, flags);
	dax_read_unlock(id);
	dax_unlock_entry(&xas, entry);
	return (__force unsigned int)fault;
}

/* Instead of an entry there is to be an error. */
static void dax_test_expect_fault(struct kunit *test, void *entry,
				  vm_fault_t fault)
{
	KUNIT_ASSERT_TRUE(test, dax_is_fault(entry));
	KUNIT_EXPECT_EQ(test, (__force unsigned int)fault,
			(__force unsigned int)dax_entry_to_fault(entry));
}

/* Pages of the device, from @page on, become those at @index of the file. */
static void *dax_test_insert(struct kunit *test, struct inode *inode,
			     pgoff_t index, unsigned long page,
			     unsigned int order, unsigned int flags)
{
	void *entry = dax_test_entry(test, page, order);

	KUNIT_ASSERT_EQ(test, dax_test_fault(inode, index, entry, flags), 0);
	KUNIT_ASSERT_PTR_EQ(test, dax_test_load(inode, index), entry);
	return entry;
}

static void dax_test_insert_zero(struct kunit *test, struct inode *inode,
				 pgoff_t index, unsigned int order)
{
	void *entry = dax_make_zero_entry(dax_test_world.pfn, order);

	KUNIT_ASSERT_EQ(test, dax_test_fault(inode, index, entry, 0), 0);
	KUNIT_ASSERT_PTR_EQ(test, dax_test_load(inode, index), entry);
}

static void dax_test_insert_empty(struct kunit *test, struct inode *inode,
				  pgoff_t index, unsigned int order)
{
	void *entry = dax_test_lock(test, inode, index, order);

	KUNIT_ASSERT_TRUE(test, dax_is_empty_entry(entry));
	dax_test_unlock(inode, index, entry);
}

static bool dax_test_is_dirty(struct inode *inode, pgoff_t index)
{
	return xa_get_mark(&inode->i_data.i_pages, index, PAGECACHE_TAG_DIRTY);
}

static bool dax_test_is_towrite(struct inode *inode, pgoff_t index)
{
	return xa_get_mark(&inode->i_data.i_pages, index, PAGECACHE_TAG_TOWRITE);
}

/*
 * Threads
 */

static int dax_test_thread(void *data)
{
	struct dax_test_task *t = data;

	allow_signal(SIGINT);
	WRITE_ONCE(t->started, true);
	t->fn(t);
	kthread_complete_and_exit(&t->done, 0);
}

static struct dax_test_task *
__dax_test_start(struct kunit *test, const char *name,
		 void (*fn)(struct dax_test_task *t), struct inode *inode,
		 pgoff_t index, unsigned int order, struct page *page,
		 struct dev_pagemap *pgmap)
{
	struct dax_test *dt = test->priv;
	struct dax_test_task *t = kzalloc(sizeof(*t), GFP_KERNEL);
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->dt = dt;
	t->name = name;
	t->fn = fn;
	t->inode = inode;
	t->index = index;
	t->order = order;
	t->page = page;
	t->pgmap = pgmap;
	init_completion(&t->done);

	task = kthread_create(dax_test_thread, t, "%s", name);
	if (IS_ERR(task))
		kfree(t);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	t->task = get_task_struct(task);
	list_add_tail(&t->list, &dt->tasks);
	wake_up_process(task);
	return t;
}

#define dax_test_start(test, fn, inode, index, order)	\
	__dax_test_start(test, #fn, fn, inode, index, order, NULL, NULL)
#define dax_test_start_page(test, fn, page)		\
	__dax_test_start(test, #fn, fn, NULL, 0, 0, page, NULL)
#define dax_test_start_pgmap(test, fn, pgmap)		\
	__dax_test_start(test, #fn, fn, NULL, 0, 0, NULL, pgmap)

/* Wait until a thread waits. */
static bool dax_test_sleeps(struct dax_test_task *t)
{
	unsigned long end = jiffies + timeout * HZ;

	while (!completion_done(&t->done) && time_before(jiffies, end)) {
		if (READ_ONCE(t->owned))
			break;
		/* It sleeps before its function is called as well. */
		if (READ_ONCE(t->started) &&
		    READ_ONCE(t->task->__state) & TASK_NORMAL)
			return true;
		usleep_range(200, 400);
	}
	return false;
}

static void dax_test_expect_sleeps(struct kunit *test, struct dax_test_task *t)
{
	KUNIT_EXPECT_TRUE_MSG(test, dax_test_sleeps(t), "%s does not wait",
			      t->name);
}

static bool dax_test_reap(struct dax_test_task *t, unsigned long timeout)
{
	if (!t->joined)
		t->joined = wait_for_completion_timeout(&t->done, timeout);
	return t->joined;
}

static void dax_test_join(struct kunit *test, struct dax_test_task *t)
{
	if (!dax_test_reap(t, timeout * HZ))
		KUNIT_FAIL_AND_ABORT(test, "%s is stuck: index 0x%lx, order %u",
				     t->name, t->index, t->order);
}

/* What is as good as @entry and not locked. */
static void *dax_test_unlocked(void *entry)
{
	if (dax_is_zero_entry(entry) || dax_is_empty_entry(entry))
		return dax_make_zero_entry(dax_to_pfn(entry),
					   dax_entry_order(entry));
	return dax_make_entry(dax_to_pfn(entry), dax_entry_order(entry));
}

/* A case has failed. Let go of all that threads may wait for. */
static void dax_test_let_go(struct dax_test *dt)
{
	struct dax_test_task *t;
	unsigned long index;
	unsigned int i;
	void *entry;

	for (i = 0; i < dt->nr_inodes; i++) {
		struct inode *inode = dt->inodes[i];

		xa_for_each(&inode->i_data.i_pages, index, entry) {
			if (dax_is_locked(entry))
				dax_test_unlock(inode, index,
						dax_test_unlocked(entry));
		}
	}
	dax_test_unpin_pages(dt->pages);
	list_for_each_entry(t, &dt->tasks, list) {
		if (!t->joined)
			wake_up_process(t->task);
	}
}

/* Return: false if a thread may still use what belongs to the case. */
static bool dax_test_end_tasks(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct dax_test_task *t, *next;
	unsigned int tries;

	list_for_each_entry(t, &dt->tasks, list) {
		/* Who is let go may be what the next one waits for. */
		for (tries = 0; !dax_test_reap(t, HZ) && tries < 10; tries++)
			dax_test_let_go(dt);
		if (!t->joined) {
			/* It runs code of this module, which has to stay. */
			KUNIT_FAIL(test, "%s never ends", t->name);
			__module_get(THIS_MODULE);
			dax_test_world.stuck = true;
			return false;
		}
	}
	list_for_each_entry_safe(t, next, &dt->tasks, list) {
		put_task_struct(t->task);
		kfree(t);
	}
	INIT_LIST_HEAD(&dt->tasks);
	return true;
}

static unsigned int dax_test_locked_entries(struct inode *inode)
{
	unsigned int locked = 0;
	unsigned long index;
	void *entry;

	xa_for_each(&inode->i_data.i_pages, index, entry)
		locked += dax_is_locked(entry);
	return locked;
}

/* As if the entries had been written back. */
static void dax_test_clean(struct inode *inode, pgoff_t start, pgoff_t end)
{
	XA_STATE(xas, &inode->i_data.i_pages, start);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, end, PAGECACHE_TAG_DIRTY) {
		xas_clear_mark(&xas, PAGECACHE_TAG_DIRTY);
		xas_clear_mark(&xas, PAGECACHE_TAG_TOWRITE);
	}
	xas_unlock_irq(&xas);
}

static void dax_test_end_inode(struct kunit *test, struct inode *inode)
{
	unsigned int locked = dax_test_locked_entries(inode);

	/* A case that has failed leaves it mapped. */
	unmap_mapping_range(&inode->i_data, 0, 0, 1);
	/* truncate_inode_pages() leaves out index ULONG_MAX, which no file has. */
	dax_test_clean(inode, ULONG_MAX, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, 0, locked);
	if (locked)
		dax_test_let_go(test->priv);
	invalidate_inode_pages2_range(&inode->i_data, ULONG_MAX, ULONG_MAX);
	truncate_inode_pages(&inode->i_data, 0);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_TRUE(test, mapping_empty(&inode->i_data));
	/* That would be a bug in clear_inode(). */
	inode->i_data.nrpages = 0;
	iput(inode);
}

static void dax_test_exit(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned long used;
	unsigned int i;

	if (!dt || !dax_test_end_tasks(test))
		return;
	for (i = 0; i < dt->nr_inodes; i++)
		dax_test_end_inode(test, dt->inodes[i]);
	used = dax_test_used_pages(dt->pages);
	KUNIT_EXPECT_EQ(test, used, 0);
	if (used)
		dax_test_clean_pages(dt->pages);
	kfree(dt);
}

static loff_t dax_test_pos(pgoff_t index)
{
	return (loff_t)index << PAGE_SHIFT;
}

/* The last byte of the pages that a thread is about. */
static loff_t dax_test_end_pos(struct dax_test_task *t)
{
	return dax_test_pos(t->index + (1UL << t->order)) - 1;
}

/* The thread has locked the entry that others contend for. */
static void dax_test_own(struct dax_test_task *t)
{
	struct dax_test *dt = t->dt;

	WRITE_ONCE(t->owned, true);
	if (atomic_inc_return(&dt->owners) > 1)
		atomic_inc(&dt->crowds);
	usleep_range(1000, 2000);
	atomic_dec(&dt->owners);
	atomic_inc(&dt->turns);
}

static void task_grab_entry(struct dax_test_task *t)
{
	struct address_space *mapping = &t->inode->i_data;
	XA_STATE_ORDER(xas, &mapping->i_pages, t->index, t->order);

	t->entry = dax_grab_entry(&xas, mapping, t->order);
	if (dax_is_fault(t->entry))
		return;
	dax_test_own(t);
	dax_unlock_entry(&xas, t->entry);
}

static void task_lock_page(struct dax_test_task *t)
{
	struct address_space *mapping;
	pgoff_t index;

	t->cookie = dax_lock_page(t->page, &mapping, &index);
	if (!t->cookie)
		return;
	dax_test_own(t);
	dax_unlock_mapping_entry(mapping, index, t->cookie);
}

static void task_lock_mapping_entry(struct dax_test_task *t)
{
	t->cookie = dax_lock_mapping_entry(&t->inode->i_data, t->index,
					   &t->page);
	if (t->page)
		dax_test_own(t);
	dax_unlock_mapping_entry(&t->inode->i_data, t->index, t->cookie);
}

static void task_truncate(struct dax_test_task *t)
{
	truncate_inode_pages_range(&t->inode->i_data, dax_test_pos(t->index),
				   dax_test_end_pos(t));
}

static void task_invalidate(struct dax_test_task *t)
{
	t->ret = invalidate_inode_pages2_range(&t->inode->i_data, t->index,
					       t->index + (1UL << t->order) - 1);
}

static void task_find_busy(struct dax_test_task *t)
{
	t->folio = dax_layout_busy_folio(&t->inode->i_data,
					 dax_test_pos(t->index),
					 dax_test_end_pos(t));
}

static void dax_test_wait(struct inode *inode)
{
	struct dax_test_task *t = kthread_data(current);

	t->waits++;
	schedule();
}

static void task_break_layout(struct dax_test_task *t)
{
	t->ret = dax_break_layout(t->inode, dax_test_pos(t->index),
				  dax_test_end_pos(t), dax_test_wait);
}

static void task_wait_unpinned(struct dax_test_task *t)
{
	t->ret = dax_wait_unpinned(t->inode, TASK_IDLE);
}

static void task_wait_busy(struct dax_test_task *t)
{
	t->ret = dax_wait_busy(&t->inode->i_data, TASK_IDLE);
}

static int dax_test_writeback(struct inode *inode, loff_t start, loff_t end,
			      enum writeback_sync_modes sync_mode)
{
	struct writeback_control wbc = {
		.sync_mode	= sync_mode,
		.range_start	= start,
		.range_end	= end,
		.nr_to_write	= LONG_MAX,
	};

	return dax_writeback_mapping_range(&inode->i_data,
					   dax_test_world.dax_dev, &wbc);
}

static void task_write_back(struct dax_test_task *t)
{
	t->ret = dax_test_writeback(t->inode, dax_test_pos(t->index),
				    dax_test_end_pos(t), WB_SYNC_ALL);
}

/*
 * Parameters
 */

struct dax_test_size {
	const char *name;
	unsigned int level;
};

static const struct dax_test_size dax_test_sizes[] = {
	{ "PTE", 0 }, { "PMD", 1 }, { "PUD", 2 },
};

KUNIT_ARRAY_PARAM_DESC(size, dax_test_sizes, name);

static const struct dax_test_size dax_test_large_sizes[] = {
	{ "PMD", 1 }, { "PUD", 2 },
};

KUNIT_ARRAY_PARAM_DESC(large_size, dax_test_large_sizes, name);

/* Not a constant on every architecture. */
static unsigned int dax_test_order(struct kunit *test, unsigned int level)
{
	const unsigned int orders[] = { 0, PMD_ORDER, PUD_ORDER };
	unsigned int order = orders[level];

	if (order > dax_test_max_order())
		kunit_skip(test, "no page faults of this size");
	return order;
}

static unsigned int dax_test_param_order(struct kunit *test)
{
	const struct dax_test_size *size = test->param_value;

	return dax_test_order(test, size->level);
}

struct dax_test_pair {
	const char *name;
	unsigned int small;
	unsigned int large;
};

static const struct dax_test_pair dax_test_pairs[] = {
	{ "PTE_and_PMD", 0, 1 }, { "PTE_and_PUD", 0, 2 }, { "PMD_and_PUD", 1, 2 },
};

KUNIT_ARRAY_PARAM_DESC(pair, dax_test_pairs, name);

static unsigned int dax_test_small_order(struct kunit *test)
{
	const struct dax_test_pair *pair = test->param_value;

	return dax_test_order(test, pair->small);
}

static unsigned int dax_test_large_order(struct kunit *test)
{
	const struct dax_test_pair *pair = test->param_value;

	return dax_test_order(test, pair->large);
}

/* For cases that provoke WARN_ON_ONCE(): it fails whoever looks for splats. */
static void dax_test_requires_warnings(struct kunit *test)
{
	if (!warnings)
		kunit_skip(test, "makes the kernel warn: dax_kunit.warnings=1 runs it");
}

/*
 * What pages are associated with
 */

static void dax_test_expect_owner(struct kunit *test, unsigned long page,
				  struct inode *inode, pgoff_t index)
{
	struct folio *folio = dax_test_folio(page);

	KUNIT_EXPECT_PTR_EQ(test, folio->mapping, &inode->i_data);
	KUNIT_EXPECT_EQ(test, index,
			folio->index + folio_page_idx(folio, dax_test_page(page)));
}

static void dax_test_expect_shared(struct kunit *test, unsigned long page,
				   unsigned long share)
{
	struct page *p = dax_test_page(page);

	KUNIT_EXPECT_FALSE(test, PageCompound(p));
	KUNIT_EXPECT_NULL(test, p->mapping);
	KUNIT_EXPECT_EQ(test, p->share, share);
}

/* The pages from @page on are one folio, of @order. */
static void dax_test_expect_joined(struct kunit *test, unsigned long page,
				   unsigned int order)
{
	struct folio *folio = (struct folio *)dax_test_page(page);
	unsigned long i, others = 0;

	KUNIT_EXPECT_PTR_EQ(test, dax_test_folio(page), folio);
	KUNIT_EXPECT_EQ(test, folio_order(folio), order);
	KUNIT_EXPECT_EQ(test, folio_nr_pages(folio), 1UL << order);
	for (i = 0; i < 1UL << order; i++) {
		others += dax_test_folio(page + i) != folio ||
			  page_pgmap(dax_test_page(page + i)) !=
			  &dax_test_world.pgmap;
	}
	KUNIT_EXPECT_EQ(test, others, 0);
}

/*
 * dax_entry: encoding
 */

static void dax_test_expect_encoding(struct kunit *test, void *entry,
				     unsigned long pfn, unsigned int order)
{
	KUNIT_EXPECT_TRUE(test, xa_is_value(entry));
	KUNIT_EXPECT_FALSE(test, dax_is_fault(entry));
	KUNIT_EXPECT_EQ(test, dax_to_pfn(entry), pfn);
	KUNIT_EXPECT_EQ(test, dax_entry_order(entry), order);
	KUNIT_EXPECT_FALSE(test, dax_is_locked(entry));
	KUNIT_EXPECT_FALSE(test, dax_is_empty_entry(entry));
}

static void dax_test_expect_encodes(struct kunit *test, unsigned long pfn,
				    unsigned int order)
{
	void *entry;

	pfn = ALIGN_DOWN(pfn, 1UL << order);

	entry = dax_make_entry(pfn, order);
	dax_test_expect_encoding(test, entry, pfn, order);
	KUNIT_EXPECT_FALSE(test, dax_is_zero_entry(entry));

	entry = dax_make_zero_entry(pfn, order);
	dax_test_expect_encoding(test, entry, pfn, order);
	KUNIT_EXPECT_TRUE(test, dax_is_zero_entry(entry));
}

/* The largest pfn that entries have room for. */
static unsigned long dax_test_largest_pfn(void)
{
	unsigned int bits = 1;

	while (!(xa_to_value(dax_make_entry(1UL << bits, 0)) >>
		 (BITS_PER_XA_VALUE - 1)))
		bits++;
	return (2UL << bits) - 1;
}

static void entry_encoding_keeps_pfn_and_order(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	unsigned int bit;

	dax_test_expect_encodes(test, 0, order);
	for (bit = order; 1UL << bit <= dax_test_largest_pfn() && bit < 63; bit++)
		dax_test_expect_encodes(test, 1UL << bit, order);
	dax_test_expect_encodes(test, PHYS_PFN(iomem_resource.end), order);
	dax_test_expect_encodes(test, dax_test_largest_pfn(), order);
}

static void entry_encoding_holds_any_pfn(struct kunit *test)
{
	KUNIT_EXPECT_GE(test, dax_test_largest_pfn(),
			(1UL << (MAX_PHYSMEM_BITS - PAGE_SHIFT)) - 1);
	KUNIT_EXPECT_GE(test, dax_test_largest_pfn(),
			PHYS_PFN(iomem_resource.end));
}

static void entry_lock_bit_leaves_the_rest(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long pfn = ALIGN_DOWN(dax_test_largest_pfn(), 1UL << order);
	void *zero = dax_make_zero_entry(pfn, order), *entry;

	/* A zero entry: no struct page is looked for. */
	KUNIT_ASSERT_EQ(test, dax_test_fault(inode, 0, zero, 0), 0);
	entry = dax_test_lock(test, inode, 0, order);
	KUNIT_EXPECT_PTR_EQ(test, entry, zero);

	entry = dax_test_load(inode, 0);
	KUNIT_EXPECT_TRUE(test, dax_is_locked(entry));
	KUNIT_EXPECT_TRUE(test, dax_is_zero_entry(entry));
	KUNIT_EXPECT_FALSE(test, dax_is_empty_entry(entry));
	KUNIT_EXPECT_EQ(test, dax_entry_order(entry), order);
	KUNIT_EXPECT_EQ(test, dax_to_pfn(entry), pfn);

	dax_test_unlock(inode, 0, zero);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, 0), zero);
}

/*
 * dax_entry: locking
 */

static void entry_grabbed_is_empty_and_locked(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t last = DAX_TEST_INDEX + (1UL << order) - 1;
	void *entry = dax_test_lock(test, inode, last, order);

	KUNIT_EXPECT_FALSE(test, dax_is_locked(entry));
	KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(entry));
	KUNIT_EXPECT_EQ(test, dax_entry_order(entry), order);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
	KUNIT_EXPECT_TRUE(test, dax_is_locked(dax_test_load(inode, DAX_TEST_INDEX)));
	KUNIT_EXPECT_TRUE(test, dax_is_locked(dax_test_load(inode, last)));
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, DAX_TEST_INDEX - 1));
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, last + 1));

	dax_test_unlock(inode, last, entry);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);

	/* There is one entry now, not one more. */
	KUNIT_EXPECT_PTR_EQ(test, entry,
			    dax_test_lock(test, inode, DAX_TEST_INDEX, order));
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
}

static void entry_waiters_get_it_one_at_a_time(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *tasks[4];
	void *entry;
	int i;

	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, 0);
	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		tasks[i] = dax_test_start(test, task_grab_entry, inode,
					  DAX_TEST_INDEX, 0);
		dax_test_expect_sleeps(test, tasks[i]);
	}
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		dax_test_join(test, tasks[i]);
		KUNIT_EXPECT_PTR_EQ(test, tasks[i]->entry, entry);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&dt->turns), ARRAY_SIZE(tasks));
	KUNIT_EXPECT_EQ(test, atomic_read(&dt->crowds), 0);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1);
}

/* dax_lock_page() and dax_lock_mapping_entry() wait in another way. */
static void entry_waiters_of_both_kinds_are_woken(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	unsigned long last = (1UL << order) - 1;
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *tasks[4];
	struct dax_test *dt = test->priv;
	void *entry;
	int i;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	tasks[0] = dax_test_start(test, task_grab_entry, inode,
				  DAX_TEST_INDEX + last, 0);
	tasks[1] = dax_test_start_page(test, task_lock_page, dax_test_page(0));
	tasks[2] = dax_test_start_page(test, task_lock_page, dax_test_page(last));
	tasks[3] = dax_test_start(test, task_lock_mapping_entry, inode,
				  DAX_TEST_INDEX + last, 0);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		dax_test_expect_sleeps(test, tasks[i]);

	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		dax_test_join(test, tasks[i]);
	KUNIT_EXPECT_PTR_EQ(test, tasks[0]->entry, entry);
	KUNIT_EXPECT_PTR_EQ(test, (void *)tasks[1]->cookie, entry);
	KUNIT_EXPECT_PTR_EQ(test, (void *)tasks[2]->cookie, entry);
	KUNIT_EXPECT_PTR_EQ(test, (void *)tasks[3]->cookie, entry);
	KUNIT_EXPECT_PTR_EQ(test, tasks[3]->page, dax_test_page(last));
	KUNIT_EXPECT_EQ(test, atomic_read(&dt->turns), ARRAY_SIZE(tasks));
	KUNIT_EXPECT_EQ(test, atomic_read(&dt->crowds), 0);
}

/* Lock the entry at one index of it, wait for it at others. */
static void dax_test_wait_at(struct kunit *test, struct inode *inode,
			     pgoff_t locked, const pgoff_t *waiting, int n)
{
	struct dax_test_task *tasks[3];
	void *entry;
	int i;

	entry = dax_test_lock(test, inode, locked, 0);
	for (i = 0; i < n; i++) {
		tasks[i] = dax_test_start(test, task_grab_entry, inode, waiting[i], 0);
		dax_test_expect_sleeps(test, tasks[i]);
	}
	dax_test_unlock(inode, locked, entry);
	for (i = 0; i < n; i++) {
		dax_test_join(test, tasks[i]);
		KUNIT_EXPECT_PTR_EQ(test, tasks[i]->entry, entry);
	}
}

static void entry_waiters_at_any_index_are_woken(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t last = DAX_TEST_INDEX + (1UL << order) - 1;
	pgoff_t half = DAX_TEST_INDEX + (1UL << (order - 1));
	const pgoff_t at_end[] = { DAX_TEST_INDEX + 1, half, last };
	const pgoff_t at_start[] = { half, DAX_TEST_INDEX + 1, DAX_TEST_INDEX };

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	dax_test_wait_at(test, inode, DAX_TEST_INDEX, at_end, ARRAY_SIZE(at_end));
	dax_test_wait_at(test, inode, last, at_start, ARRAY_SIZE(at_start));
}

/*
 * Waiters that go on to entries of their own do not wake each other: who takes
 * the entry away that they wait for has to wake all of them.
 */
static void dax_test_expect_all_woken(struct kunit *test, struct inode *inode,
				      void *entry, struct dax_test_task *first)
{
	struct dax_test_task *tasks[3];
	int i;

	if (first)
		dax_test_expect_sleeps(test, first);
	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		tasks[i] = dax_test_start(test, task_grab_entry, inode,
					  DAX_TEST_INDEX + 1 + i, 0);
		dax_test_expect_sleeps(test, tasks[i]);
	}
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	if (first)
		dax_test_join(test, first);
	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		dax_test_join(test, tasks[i]);
		KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(tasks[i]->entry));
		KUNIT_EXPECT_EQ(test, dax_entry_order(tasks[i]->entry), 0);
	}
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, ARRAY_SIZE(tasks));
}

static void entry_downgrade_of_empty_wakes_all(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	void *entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);

	dax_test_expect_all_woken(test, inode, entry, NULL);
}

static void entry_downgrade_of_zero_wakes_all(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	void *entry;

	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, order);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	dax_test_expect_all_woken(test, inode, entry, NULL);
}

static void entry_truncation_wakes_all(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	void *entry;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	/* Only its first page: those who are woken add entries behind that. */
	t = dax_test_start(test, task_truncate, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_all_woken(test, inode, entry, t);
}

static void entry_invalidation_wakes_all(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	void *entry;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	t = dax_test_start(test, task_invalidate, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_all_woken(test, inode, entry, t);
}

/*
 * dax_entry: entries of other orders
 */

static void entry_grab_over_smaller_falls_back(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t last = DAX_TEST_INDEX + (1UL << large) - 1;
	void *entry, *fault;

	dax_test_insert_empty(test, inode, last, small);
	fault = dax_test_grab(inode, DAX_TEST_INDEX, large);
	dax_test_expect_fault(test, fault, VM_FAULT_FALLBACK);

	/* That it is locked is not worth waiting for. */
	entry = dax_test_lock(test, inode, last, small);
	fault = dax_test_grab(inode, DAX_TEST_INDEX, large);
	dax_test_unlock(inode, last, entry);
	dax_test_expect_fault(test, fault, VM_FAULT_FALLBACK);

	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, last), entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << small);
}

static void entry_grab_inside_larger_keeps_pages(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t last = DAX_TEST_INDEX + (1UL << large) - 1;
	void *entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, large, 0);

	KUNIT_EXPECT_PTR_EQ(test, dax_test_lock(test, inode, last, small), entry);
	KUNIT_EXPECT_TRUE(test, dax_is_locked(dax_test_load(inode, DAX_TEST_INDEX)));
	dax_test_unlock(inode, last, entry);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << large);
}

static void dax_test_expect_downgrade(struct kunit *test, struct inode *inode,
				      unsigned int small, unsigned int large)
{
	pgoff_t last = DAX_TEST_INDEX + (1UL << large) - 1;
	void *entry;

	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << large);
	entry = dax_test_lock(test, inode, last, small);
	KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(entry));
	KUNIT_EXPECT_EQ(test, dax_entry_order(entry), small);
	KUNIT_EXPECT_TRUE(test, dax_is_locked(dax_test_load(inode, last)));
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << small);
	dax_test_unlock(inode, last, entry);
}

static void entry_grab_inside_empty_replaces_it(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	struct inode *inode = dax_test_inode(test);

	dax_test_insert_empty(test, inode, DAX_TEST_INDEX, large);
	dax_test_expect_downgrade(test, inode, small, large);
}

static void entry_grab_inside_zero_replaces_it(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	struct inode *inode = dax_test_inode(test);

	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, large);
	dax_test_expect_downgrade(test, inode, small, large);
}

/*
 * dax_entry: errors
 */

/* Allocation number @nth of this task fails, if it may not wait. */
static void dax_test_fail_slab(struct kunit *test, unsigned int nth)
{
#ifdef CONFIG_FAILSLAB
	current->fail_nth = nth;
#else
	kunit_skip(test, "requires CONFIG_FAILSLAB");
#endif
}

static void dax_test_expect_slab_failed(struct kunit *test)
{
#ifdef CONFIG_FAILSLAB
	KUNIT_EXPECT_EQ(test, current->fail_nth, 0);
	current->fail_nth = 0;
#endif
}

static void entry_grab_without_memory_is_oom(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	XA_STATE(xas, &inode->i_data.i_pages, DAX_TEST_INDEX);
	void *fault;

	mapping_set_gfp_mask(&inode->i_data, GFP_NOWAIT);
	/* As it is when the allocation under the i_pages lock has failed. */
	xas_set_err(&xas, -ENOMEM);
	dax_test_fail_slab(test, 1);
	fault = dax_grab_entry(&xas, &inode->i_data, 0);
	dax_test_expect_slab_failed(test);
	dax_test_expect_fault(test, fault, VM_FAULT_OOM);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_TRUE(test, mapping_empty(&inode->i_data));
}

static void entry_grab_allocates_without_lock(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	void *entry;

	dax_test_fail_slab(test, 1);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	dax_test_expect_slab_failed(test);
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
}

/* The allocation fails after the larger entry has gone. */
static void entry_downgrade_without_memory_retries(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	void *entry;

	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, order);
	dax_test_fail_slab(test, 1);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_slab_failed(test);
	KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(entry));
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1);
}

static void entry_grab_with_error_is_sigbus(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	XA_STATE(xas, &inode->i_data.i_pages, DAX_TEST_INDEX);
	void *fault;

	xas_set_err(&xas, -EIO);
	fault = dax_grab_entry(&xas, &inode->i_data, 0);
	dax_test_expect_fault(test, fault, VM_FAULT_SIGBUS);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
}

static void entry_grab_of_folio_is_sigbus(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct xarray *xa = &inode->i_data.i_pages;
	XA_STATE(xas, xa, DAX_TEST_INDEX);
	void *fault;

	dax_test_requires_warnings(test);
	xa_lock_irq(xa);
	__xa_store(xa, DAX_TEST_INDEX, dax_test_page(0), GFP_ATOMIC);
	xa_unlock_irq(xa);
	fault = dax_grab_entry(&xas, &inode->i_data, 0);
	xa_lock_irq(xa);
	KUNIT_EXPECT_PTR_EQ(test, __xa_erase(xa, DAX_TEST_INDEX),
			    (void *)dax_test_page(0));
	xa_unlock_irq(xa);
	dax_test_expect_fault(test, fault, VM_FAULT_SIGBUS);
}

/*
 * dax_entry: locking it from outside of page faults
 */

static void entry_lock_by_page_finds_it(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct page *last = dax_test_page((1UL << order) - 1);
	struct address_space *mapping;
	dax_entry_t cookie;
	pgoff_t index;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	cookie = dax_lock_page(last, &mapping, &index);
	KUNIT_ASSERT_PTR_EQ(test, (void *)cookie, entry);
	KUNIT_EXPECT_PTR_EQ(test, mapping, &inode->i_data);
	KUNIT_EXPECT_EQ(test, index, DAX_TEST_INDEX + (1UL << order) - 1);
	KUNIT_EXPECT_TRUE(test, dax_is_locked(dax_test_load(inode, DAX_TEST_INDEX)));
	dax_unlock_mapping_entry(mapping, index, cookie);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
}

/* Lock the entry of a page for a moment. */
static dax_entry_t dax_test_lock_page(unsigned long page)
{
	struct address_space *mapping;
	dax_entry_t cookie;
	pgoff_t index;

	cookie = dax_lock_page(dax_test_page(page), &mapping, &index);
	if (cookie)
		dax_unlock_mapping_entry(mapping, index, cookie);
	return cookie;
}

static void entry_lock_by_page_of_none_fails(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	KUNIT_EXPECT_EQ(test, dax_test_lock_page(0), 0);

	/* A file that has ceased to be a DAX file. */
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, 0);
	inode->i_flags = 0;
	KUNIT_EXPECT_EQ(test, dax_test_lock_page(0), 0);
	inode->i_flags = S_DAX;
}

static void entry_lock_by_index_finds_page(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t last = DAX_TEST_INDEX + (1UL << order) - 1;
	struct page *page = NULL;
	dax_entry_t cookie;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	cookie = dax_lock_mapping_entry(&inode->i_data, last, &page);
	KUNIT_ASSERT_PTR_EQ(test, (void *)cookie, entry);
	KUNIT_EXPECT_PTR_EQ(test, page, dax_test_page((1UL << order) - 1));
	KUNIT_EXPECT_TRUE(test, dax_is_locked(dax_test_load(inode, DAX_TEST_INDEX)));
	dax_unlock_mapping_entry(&inode->i_data, last, cookie);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
}

static void dax_test_expect_no_page(struct kunit *test, struct inode *inode,
				    pgoff_t index)
{
	void *entry = dax_test_load(inode, index);
	struct page *page = NULL;
	dax_entry_t cookie;

	cookie = dax_lock_mapping_entry(&inode->i_data, index, &page);
	KUNIT_EXPECT_EQ(test, cookie, ~0UL);
	KUNIT_EXPECT_NULL(test, page);
	dax_unlock_mapping_entry(&inode->i_data, index, cookie);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, index), entry);
}

static void entry_lock_by_index_of_hole_is_none(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct page *page = NULL;

	dax_test_expect_no_page(test, inode, 0);
	dax_test_insert_empty(test, inode, 1, 0);
	dax_test_expect_no_page(test, inode, 1);
	dax_test_insert_zero(test, inode, 2, 0);
	dax_test_expect_no_page(test, inode, 2);
	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, PMD_ORDER);
	dax_test_expect_no_page(test, inode, DAX_TEST_INDEX + 1);

	inode->i_flags = 0;
	KUNIT_EXPECT_EQ(test, 0,
			dax_lock_mapping_entry(&inode->i_data, 2, &page));
	inode->i_flags = S_DAX;
}

/*
 * dax_entry: removal
 */

/*
 * Someone who meets a locked entry waits for it, then the entry goes on to
 * whoever comes next.
 */
static struct dax_test_task *
__dax_test_meets_locked(struct kunit *test, const char *name,
			void (*fn)(struct dax_test_task *t),
			struct inode *inode, unsigned int order)
{
	void *entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	struct dax_test_task *t, *next;

	t = __dax_test_start(test, name, fn, inode, DAX_TEST_INDEX, order, NULL,
			     NULL);
	dax_test_expect_sleeps(test, t);
	next = dax_test_start(test, task_grab_entry, inode, DAX_TEST_INDEX, order);
	dax_test_expect_sleeps(test, next);
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	dax_test_join(test, t);
	dax_test_join(test, next);
	return t;
}

#define dax_test_meets_locked(test, fn, inode, order)	\
	__dax_test_meets_locked(test, #fn, fn, inode, order)

/* Who came next has added an empty entry, which may have gone as well since. */
static void dax_test_expect_removed(struct kunit *test, struct inode *inode,
				    unsigned int order)
{
	void *entry = dax_test_load(inode, DAX_TEST_INDEX);

	if (entry)
		KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(entry));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, entry ? 1UL << order : 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
}

static void entry_truncated_while_locked_is_removed(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, DAX_INSERT_DIRTY);
	dax_test_meets_locked(test, task_truncate, inode, order);
	dax_test_expect_removed(test, inode, order);
}

static void entry_truncated_leaves_neighbours(struct kunit *test)
{
	unsigned int order = PMD_ORDER;
	unsigned long nr = 1UL << PMD_ORDER;
	struct inode *inode = dax_test_inode(test);
	void *before, *after;

	before = dax_test_insert(test, inode, 0, 0, 0, 0);
	dax_test_insert(test, inode, nr, nr, order, 0);
	after = dax_test_insert(test, inode, 2 * nr, 2 * nr, order, 0);
	truncate_inode_pages_range(&inode->i_data, dax_test_pos(nr),
				   dax_test_pos(2 * nr) - 1);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, 0), before);
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, nr));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, 2 * nr), after);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1 + (1UL << order));
}

static void entry_truncated_twice_is_removed_once(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *first, *second;
	void *entry;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, 0);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, 0);
	first = dax_test_start(test, task_truncate, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_sleeps(test, first);
	second = dax_test_start(test, task_truncate, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_sleeps(test, second);
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	dax_test_join(test, first);
	dax_test_join(test, second);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
}

static void entry_truncated_while_pinned_warns(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct folio *folio;

	dax_test_requires_warnings(test);
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_pin(test, (1UL << order) - 1);
	truncate_inode_pages(&inode->i_data, 0);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_NULL(test, folio->mapping);
	KUNIT_EXPECT_EQ(test, folio->index, 0);
	/* It is not taken apart while there is a reference to a page of it. */
	KUNIT_EXPECT_EQ(test, folio_order(folio), order);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, folio_order(folio), order);
	/* That is for whoever comes next. */
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, 0);
}

static void entry_invalidated_while_locked_is_removed(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	t = dax_test_meets_locked(test, task_invalidate, inode, order);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	dax_test_expect_removed(test, inode, order);
}

static void entry_invalidated_while_dirty_is_kept(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order,
				DAX_INSERT_DIRTY);
	t = dax_test_meets_locked(test, task_invalidate, inode, order);
	KUNIT_EXPECT_EQ(test, t->ret, -EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
}

/* Flushed by one fsync(2), still to be looked at by another. */
static void entry_invalidated_while_written_is_removed(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, DAX_INSERT_COW);
	KUNIT_EXPECT_TRUE(test, dax_test_is_towrite(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_FALSE(test, dax_test_is_dirty(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&inode->i_data), 0);
	KUNIT_EXPECT_TRUE(test, mapping_empty(&inode->i_data));
}

static void entry_invalidated_twice_is_removed_once(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *first, *second;
	void *entry;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, 0);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, 0);
	first = dax_test_start(test, task_invalidate, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_sleeps(test, first);
	second = dax_test_start(test, task_invalidate, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_sleeps(test, second);
	dax_test_unlock(inode, DAX_TEST_INDEX, entry);
	dax_test_join(test, first);
	dax_test_join(test, second);
	KUNIT_EXPECT_EQ(test, first->ret, 0);
	KUNIT_EXPECT_EQ(test, second->ret, -EBUSY);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
}

/* Where the index after the last one is 0. */
static void entry_at_last_index_is_as_others(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct address_space *mapping = &inode->i_data;
	pgoff_t start = ULONG_MAX << order;
	unsigned long last = (1UL << order) - 1;
	struct folio *folio;
	struct page *page;
	dax_entry_t cookie;
	void *entry;

	entry = dax_test_insert(test, inode, ULONG_MAX, 0, order,
				DAX_INSERT_DIRTY);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, start), entry);
	KUNIT_EXPECT_EQ(test, mapping->nrpages, 1UL << order);
	dax_test_expect_owner(test, 0, inode, start);
	dax_test_expect_owner(test, last, inode, ULONG_MAX);

	cookie = dax_lock_mapping_entry(mapping, ULONG_MAX, &page);
	KUNIT_EXPECT_PTR_EQ(test, (void *)cookie, entry);
	KUNIT_EXPECT_PTR_EQ(test, page, dax_test_page(last));
	dax_unlock_mapping_entry(mapping, ULONG_MAX, cookie);

	folio = dax_test_pin(test, last);
	KUNIT_EXPECT_PTR_EQ(test, folio,
			    dax_layout_busy_folio(mapping, 0, LLONG_MAX));
	folio_put(folio);
	KUNIT_EXPECT_NULL(test, dax_layout_busy_folio(mapping, 0, LLONG_MAX));

	dax_test_clean(inode, start, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, 0,
			invalidate_inode_pages2_range(mapping, start, ULONG_MAX));
	KUNIT_EXPECT_EQ(test, mapping->nrpages, 0);
}

static struct kunit_case dax_entry_cases[] = {
	KUNIT_CASE_PARAM(entry_encoding_keeps_pfn_and_order, size_gen_params),
	KUNIT_CASE(entry_encoding_holds_any_pfn),
	KUNIT_CASE_PARAM(entry_lock_bit_leaves_the_rest, size_gen_params),
	KUNIT_CASE_PARAM(entry_grabbed_is_empty_and_locked, size_gen_params),
	KUNIT_CASE(entry_waiters_get_it_one_at_a_time),
	KUNIT_CASE_PARAM(entry_waiters_of_both_kinds_are_woken, size_gen_params),
	KUNIT_CASE_PARAM(entry_waiters_at_any_index_are_woken, large_size_gen_params),
	KUNIT_CASE_PARAM(entry_downgrade_of_empty_wakes_all, large_size_gen_params),
	KUNIT_CASE_PARAM(entry_downgrade_of_zero_wakes_all, large_size_gen_params),
	KUNIT_CASE_PARAM(entry_truncation_wakes_all, large_size_gen_params),
	KUNIT_CASE_PARAM(entry_invalidation_wakes_all, large_size_gen_params),
	KUNIT_CASE_PARAM(entry_grab_over_smaller_falls_back, pair_gen_params),
	KUNIT_CASE_PARAM(entry_grab_inside_larger_keeps_pages, pair_gen_params),
	KUNIT_CASE_PARAM(entry_grab_inside_empty_replaces_it, pair_gen_params),
	KUNIT_CASE_PARAM(entry_grab_inside_zero_replaces_it, pair_gen_params),
	KUNIT_CASE(entry_grab_without_memory_is_oom),
	KUNIT_CASE_PARAM(entry_grab_allocates_without_lock, size_gen_params),
	KUNIT_CASE_PARAM(entry_downgrade_without_memory_retries, large_size_gen_params),
	KUNIT_CASE(entry_grab_with_error_is_sigbus),
	KUNIT_CASE(entry_grab_of_folio_is_sigbus),
	KUNIT_CASE_PARAM(entry_lock_by_page_finds_it, size_gen_params),
	KUNIT_CASE(entry_lock_by_page_of_none_fails),
	KUNIT_CASE_PARAM(entry_lock_by_index_finds_page, size_gen_params),
	KUNIT_CASE(entry_lock_by_index_of_hole_is_none),
	KUNIT_CASE_PARAM(entry_truncated_while_locked_is_removed, size_gen_params),
	KUNIT_CASE(entry_truncated_leaves_neighbours),
	KUNIT_CASE(entry_truncated_twice_is_removed_once),
	KUNIT_CASE_PARAM(entry_truncated_while_pinned_warns, size_gen_params),
	KUNIT_CASE_PARAM(entry_invalidated_while_locked_is_removed, size_gen_params),
	KUNIT_CASE_PARAM(entry_invalidated_while_dirty_is_kept, size_gen_params),
	KUNIT_CASE(entry_invalidated_while_written_is_removed),
	KUNIT_CASE(entry_invalidated_twice_is_removed_once),
	KUNIT_CASE_PARAM(entry_at_last_index_is_as_others, size_gen_params),
	{}
};

static struct kunit_suite dax_entry_suite = {
	.name		= "dax_entry",
	.suite_init	= dax_test_suite_init,
	.suite_exit	= dax_test_suite_exit,
	.init		= dax_test_init,
	.exit		= dax_test_exit,
	.test_cases	= dax_entry_cases,
};

/*
 * dax_association
 */

static void dax_test_remove(struct inode *inode, pgoff_t index,
			    unsigned int order)
{
	truncate_inode_pages_range(&inode->i_data, dax_test_pos(index),
				   dax_test_pos(index + (1UL << order)) - 1);
}

static void association_of_entry_covers_it(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;

	/* From a fault at its end. */
	dax_test_insert(test, inode, DAX_TEST_INDEX + last, 0, order, 0);
	dax_test_expect_owner(test, 0, inode, DAX_TEST_INDEX);
	dax_test_expect_owner(test, last / 2, inode, DAX_TEST_INDEX + last / 2);
	dax_test_expect_owner(test, last, inode, DAX_TEST_INDEX + last);
	if (last + 1 < 1UL << dax_test_max_order())
		KUNIT_EXPECT_FALSE(test, dax_test_is_used(last + 1));

	dax_test_remove(inode, DAX_TEST_INDEX, order);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(last + 1), 0);
}

/* The folio of an entry is made with it. The entry is not a user of it. */
static void association_joins_idle_pages(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct folio *folio;
	int i;

	/* More than once, as what is left of the first one may be in the way. */
	for (i = 0; i < 2; i++) {
		dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
		folio = dax_test_folio(0);
		dax_test_expect_joined(test, 0, order);
		KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
		KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
		KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(folio));
		dax_test_remove(inode, DAX_TEST_INDEX, order);
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
	}
}

/* Whose pages they are says the association, not who uses them. */
static void association_survives_users(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	struct folio *folio;
	int i;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	for (i = 1; i <= 3; i++) {
		folio = dax_test_pin(test, last);
		KUNIT_EXPECT_EQ(test, folio_ref_count(folio), i);
		KUNIT_EXPECT_FALSE(test, dax_folio_is_idle(folio));
	}
	while (!dax_folio_is_idle(folio))
		folio_put(folio);
	dax_test_expect_joined(test, 0, order);
	dax_test_expect_owner(test, last, inode, DAX_TEST_INDEX + last);
}

static void association_of_hole_is_none(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, PMD_ORDER);
	dax_test_insert_empty(test, inode, 0, PMD_ORDER);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << PMD_ORDER), 0);
}

/* A fault for reading found a hole, then one for writing an extent. */
static void association_replaces_hole(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);

	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, order);
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, DAX_INSERT_DIRTY);
	dax_test_expect_owner(test, 0, inode, DAX_TEST_INDEX);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
}

/* A write fault of one page, where a large entry has been for long. */
static void association_of_large_entry_survives_small_fault(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	void *entry, *small;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	KUNIT_EXPECT_FALSE(test, dax_test_is_dirty(inode, DAX_TEST_INDEX));
	small = dax_test_entry(test, last, 0);
	KUNIT_EXPECT_EQ(test, 0, dax_test_fault(inode, DAX_TEST_INDEX + last,
						small, DAX_INSERT_DIRTY));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, DAX_TEST_INDEX));
	dax_test_expect_owner(test, last, inode, DAX_TEST_INDEX + last);
}

static void association_dirties_inode(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, 0);
	KUNIT_EXPECT_FALSE(test, inode->i_state & I_DIRTY_PAGES);
	KUNIT_EXPECT_TRUE(test, inode->i_sb->s_dax_used);
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, DAX_INSERT_DIRTY);
	KUNIT_EXPECT_TRUE(test, inode->i_state & I_DIRTY_PAGES);
}

static void association_shared_is_counted(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);

	dax_test_insert(test, one, DAX_TEST_INDEX, 3, 0, 0);
	dax_test_expect_owner(test, 3, one, DAX_TEST_INDEX);
	dax_test_insert(test, two, 7, 3, 0, DAX_INSERT_SHARED);
	dax_test_expect_shared(test, 3, 2);
	dax_test_insert(test, two, 8, 3, 0, DAX_INSERT_SHARED);
	dax_test_expect_shared(test, 3, 3);

	dax_test_remove(one, DAX_TEST_INDEX, 0);
	dax_test_expect_shared(test, 3, 2);
	dax_test_remove(two, 8, 0);
	dax_test_expect_shared(test, 3, 1);
	dax_test_remove(two, 7, 0);
	dax_test_expect_shared(test, 3, 0);

	/* And to one file again. */
	dax_test_insert(test, one, 9, 3, 0, 0);
	dax_test_expect_owner(test, 3, one, 9);
}

/* At index 0, which is where ->index and ->share could be confused. */
static void association_first_as_shared_is_counted(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, 0, 0, 0, DAX_INSERT_SHARED);
	dax_test_expect_shared(test, 0, 1);
	/* Faulted on again: one entry still. */
	dax_test_insert(test, inode, 0, 0, 0, DAX_INSERT_SHARED);
	dax_test_expect_shared(test, 0, 1);
	dax_test_remove(inode, 0, 0);
	dax_test_expect_shared(test, 0, 0);

	dax_test_insert(test, inode, 0, 0, 0, 0);
	dax_test_expect_owner(test, 0, inode, 0);
	/* Its extent was shared meanwhile, then it is faulted on again. */
	dax_test_insert(test, inode, 0, 0, 0, DAX_INSERT_SHARED);
	dax_test_expect_owner(test, 0, inode, 0);
}

static void association_shared_is_not_lockable(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, 5, 0, 0, DAX_INSERT_SHARED);
	KUNIT_EXPECT_EQ(test, dax_test_lock_page(0), 0);
}

/* Fault with an entry that cannot be had: nothing changes. */
static void dax_test_expect_refused(struct kunit *test, struct inode *inode,
				    void *new, unsigned int flags)
{
	unsigned int order = dax_entry_order(new);
	struct page *pages = pfn_to_page(dax_to_pfn(new)), *before;
	size_t size = sizeof(*pages) << order;
	void *entry;

	before = kvmemdup(pages, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	KUNIT_EXPECT_EQ(test, (__force unsigned int)(order ? VM_FAULT_FALLBACK :
							     VM_FAULT_SIGBUS),
			dax_test_fault(inode, DAX_TEST_INDEX, new, flags));
	KUNIT_EXPECT_EQ(test, 0, memcmp(pages, before, size));
	kvfree(before);

	entry = dax_test_load(inode, DAX_TEST_INDEX);
	KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(entry));
	KUNIT_EXPECT_FALSE(test, dax_is_locked(entry));
	KUNIT_EXPECT_EQ(test, dax_entry_order(entry), order);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
}

static void association_shared_and_large_is_refused(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	void *entry = dax_test_entry(test, 0, order);

	dax_test_expect_refused(test, one, entry, DAX_INSERT_SHARED);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
	/* The pages are there for others to take. */
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, order, 0);
}

static void association_copy_replaces_shared(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);

	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 2, 0, 0, DAX_INSERT_SHARED);
	dax_test_expect_shared(test, 0, 2);
	dax_test_insert(test, two, 2, 1, 0, DAX_INSERT_DIRTY | DAX_INSERT_COW);
	dax_test_expect_shared(test, 0, 1);
	dax_test_expect_owner(test, 1, two, 2);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(two, 2));
	KUNIT_EXPECT_TRUE(test, dax_test_is_towrite(two, 2));
	KUNIT_EXPECT_EQ(test, two->i_data.nrpages, 1);
}

/* The fault is tried again after the copy could not be put in the file. */
static void association_copy_inserted_twice_stays(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, 2, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, inode, 2, 1, 0, DAX_INSERT_COW);
	dax_test_insert(test, inode, 2, 1, 0, DAX_INSERT_COW);
	dax_test_expect_shared(test, 0, 0);
	dax_test_expect_owner(test, 1, inode, 2);
}

static void association_of_taken_page_is_shared(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);

	dax_test_insert(test, one, 1, 0, 0, 0);
	dax_test_insert(test, two, 1, 0, 0, 0);
	dax_test_expect_shared(test, 0, 2);
	/* The same file, elsewhere. */
	dax_test_insert(test, one, 2, 0, 0, 0);
	dax_test_expect_shared(test, 0, 3);
	dax_test_remove(one, 1, 0);
	dax_test_remove(one, 2, 0);
	dax_test_expect_shared(test, 0, 1);
}

/* One page is taken, all others are not. */
static void association_of_large_over_taken_is_refused(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	const unsigned long pages[] = { 0, 1UL << (order - 1), (1UL << order) - 1 };
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	void *entry = dax_test_entry(test, 0, order);
	int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		dax_test_insert(test, one, 1, pages[i], 0, 0);
		dax_test_expect_refused(test, two, entry, 0);
		dax_test_expect_owner(test, pages[i], one, 1);
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 1);

		dax_test_insert(test, one, 2, pages[i], 0, DAX_INSERT_SHARED);
		dax_test_expect_refused(test, two, entry, 0);
		dax_test_expect_shared(test, pages[i], 2);
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 1);

		dax_test_remove(one, 1, 0);
		dax_test_remove(one, 2, 0);
	}
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, order, 0);
}

/* One page is in use, though of no file any more. */
static void association_of_large_over_pinned_is_refused(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	const unsigned long pages[] = { 0, 1UL << (order - 1), (1UL << order) - 1 };
	struct inode *inode = dax_test_inode(test);
	void *entry = dax_test_entry(test, 0, order);
	struct folio *folio;
	int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		folio = dax_test_pin(test, pages[i]);
		dax_test_expect_refused(test, inode, entry, 0);
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 1);
		KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
		folio_put(folio);
	}
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
}

/* As all of a page can be had, it does not matter who uses it. */
static void association_of_pinned_page_is_had(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct folio *folio = dax_test_pin(test, 0);

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, 0, 0);
	dax_test_expect_owner(test, 0, inode, DAX_TEST_INDEX);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	folio_put(folio);
}

/* Whoever has a folio has it as a whole. */
static void association_inside_larger_is_refused(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	unsigned long end = (1UL << large) - (1UL << small);
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	void *first = dax_test_entry(test, 0, small);
	void *last = dax_test_entry(test, end, small);

	dax_test_insert(test, one, 0, 0, large, 0);
	dax_test_expect_refused(test, two, first, 0);
	dax_test_expect_refused(test, two, last, 0);
	/* A page that is shared has to be a folio of its own. */
	dax_test_expect_refused(test, two, first, DAX_INSERT_SHARED);
	dax_test_expect_refused(test, two, last, DAX_INSERT_SHARED);
	dax_test_expect_joined(test, 0, large);
	dax_test_expect_owner(test, end, one, end);

	dax_test_remove(one, 0, large);
	dax_test_insert(test, two, DAX_TEST_INDEX, end, small, 0);
}

static void association_over_smaller_is_refused(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	unsigned long end = (1UL << large) - (1UL << small);
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	void *entry = dax_test_entry(test, 0, large);

	dax_test_insert(test, one, 0, 0, small, 0);
	dax_test_expect_refused(test, two, entry, 0);
	dax_test_remove(one, 0, small);

	dax_test_insert(test, one, 0, end, small, 0);
	dax_test_expect_refused(test, two, entry, 0);
	dax_test_expect_joined(test, end, small);
	dax_test_expect_owner(test, end, one, 0);
	dax_test_remove(one, 0, small);

	dax_test_insert(test, two, DAX_TEST_INDEX, 0, large, 0);
}

/*
 * An entry of PMD size is removed, of which @page is pinned. Its folio stays,
 * though it is no file's.
 */
static struct folio *dax_test_leave_pinned(struct kunit *test,
					   struct inode *inode,
					   unsigned long page)
{
	struct folio *folio;

	dax_test_requires_warnings(test);
	dax_test_insert(test, inode, 0, 0, PMD_ORDER, 0);
	folio = dax_test_pin(test, page);
	dax_test_remove(inode, 0, PMD_ORDER);

	dax_test_expect_joined(test, 0, PMD_ORDER);
	KUNIT_EXPECT_NULL(test, folio->mapping);
	KUNIT_EXPECT_EQ(test, folio->index, 0);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	return folio;
}

static void association_of_large_left_pinned_is_refused(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	unsigned long nr = 1UL << PMD_ORDER;
	struct folio *folio = dax_test_leave_pinned(test, one, nr - 1);
	void *entry = dax_test_entry(test, 0, PMD_ORDER);

	dax_test_expect_refused(test, two, entry, 0);
	dax_test_expect_joined(test, 0, PMD_ORDER);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	folio_put(folio);

	dax_test_expect_joined(test, 0, PMD_ORDER);
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, PMD_ORDER, 0);
	dax_test_expect_joined(test, 0, PMD_ORDER);
	dax_test_expect_owner(test, nr - 1, two, DAX_TEST_INDEX + nr - 1);
	/* All is as ever then. */
	dax_test_remove(two, DAX_TEST_INDEX, PMD_ORDER);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(nr), 0);
}

static void association_reuses_folio_left_idle(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	unsigned long nr = 1UL << PMD_ORDER;

	folio_put(dax_test_leave_pinned(test, one, 0));
	dax_test_expect_joined(test, 0, PMD_ORDER);
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, PMD_ORDER, 0);
	dax_test_expect_joined(test, 0, PMD_ORDER);
	dax_test_expect_owner(test, nr - 1, two, DAX_TEST_INDEX + nr - 1);
}

/* Someone has a page that is now another file's, and more than that with it. */
static void association_splits_folio_left_idle(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	const unsigned long nr = 1UL << PMD_ORDER;
	const unsigned long pages[] = { 0, 1, nr - 1 };
	struct folio *folio;
	void *entry;
	int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		unsigned int flags = i % 2 ? DAX_INSERT_SHARED : 0;

		folio = dax_test_leave_pinned(test, one, nr / 2);
		entry = dax_test_entry(test, pages[i], 0);
		dax_test_expect_refused(test, two, entry, flags);

		folio_put(folio);
		dax_test_expect_joined(test, 0, PMD_ORDER);
		dax_test_insert(test, two, DAX_TEST_INDEX, pages[i], 0, flags);
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(nr), 1);
		if (flags)
			dax_test_expect_shared(test, pages[i], 1);
		else
			dax_test_expect_owner(test, pages[i], two, DAX_TEST_INDEX);

		dax_test_remove(one, 0, PMD_ORDER);
		dax_test_remove(two, DAX_TEST_INDEX, 0);
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(2 * nr), 0);
	}
}

static struct kunit_case dax_association_cases[] = {
	KUNIT_CASE_PARAM(association_of_entry_covers_it, size_gen_params),
	KUNIT_CASE_PARAM(association_joins_idle_pages, size_gen_params),
	KUNIT_CASE_PARAM(association_survives_users, size_gen_params),
	KUNIT_CASE(association_of_hole_is_none),
	KUNIT_CASE_PARAM(association_replaces_hole, size_gen_params),
	KUNIT_CASE_PARAM(association_of_large_entry_survives_small_fault,
			 large_size_gen_params),
	KUNIT_CASE(association_dirties_inode),
	KUNIT_CASE(association_shared_is_counted),
	KUNIT_CASE(association_first_as_shared_is_counted),
	KUNIT_CASE(association_shared_is_not_lockable),
	KUNIT_CASE_PARAM(association_shared_and_large_is_refused,
			 large_size_gen_params),
	KUNIT_CASE(association_copy_replaces_shared),
	KUNIT_CASE(association_copy_inserted_twice_stays),
	KUNIT_CASE(association_of_taken_page_is_shared),
	KUNIT_CASE_PARAM(association_of_large_over_taken_is_refused,
			 large_size_gen_params),
	KUNIT_CASE_PARAM(association_of_large_over_pinned_is_refused,
			 large_size_gen_params),
	KUNIT_CASE(association_of_pinned_page_is_had),
	KUNIT_CASE_PARAM(association_inside_larger_is_refused, pair_gen_params),
	KUNIT_CASE_PARAM(association_over_smaller_is_refused, pair_gen_params),
	KUNIT_CASE(association_of_large_left_pinned_is_refused),
	KUNIT_CASE(association_reuses_folio_left_idle),
	KUNIT_CASE(association_splits_folio_left_idle),
	{}
};

static struct kunit_suite dax_association_suite = {
	.name		= "dax_association",
	.suite_init	= dax_test_suite_init,
	.suite_exit	= dax_test_suite_exit,
	.init		= dax_test_init,
	.exit		= dax_test_exit,
	.test_cases	= dax_association_cases,
};

/*
 * dax_layout
 */

static struct folio *dax_test_busy(struct inode *inode, pgoff_t first,
				   pgoff_t last)
{
	return dax_layout_busy_folio(&inode->i_data, dax_test_pos(first),
				     dax_test_pos(last + 1) - 1);
}

static void layout_of_idle_pages_is_not_busy(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);

	KUNIT_EXPECT_NULL(test, dax_layout_busy_folio(&inode->i_data, 0, LLONG_MAX));
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	dax_test_insert_zero(test, inode, 0, PMD_ORDER);
	dax_test_insert_empty(test, inode, 1UL << PMD_ORDER, 0);
	KUNIT_EXPECT_NULL(test, dax_layout_busy_folio(&inode->i_data, 0, LLONG_MAX));
	KUNIT_EXPECT_FALSE(test, dax_mapping_pinned(&inode->i_data));
}

static void layout_of_pinned_page_is_busy(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	const unsigned long pages[] = { 0, last / 2, last };
	int i;

	dax_test_insert(test, inode, 0, 0, order,
			DAX_INSERT_DIRTY);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		struct folio *folio = dax_test_pin(test, pages[i]);

		KUNIT_EXPECT_PTR_EQ(test, &folio->page, dax_test_page(0));
		KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, 0, last), folio);
		KUNIT_EXPECT_TRUE(test, dax_mapping_pinned(&inode->i_data));
		folio_put(folio);
		KUNIT_EXPECT_NULL(test, dax_test_busy(inode, 0, last));
		KUNIT_EXPECT_FALSE(test, dax_mapping_pinned(&inode->i_data));
	}
}

/* What is removed is the entry as a whole, so all of it has to be idle. */
static void layout_range_does_not_cut_entry(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t start = DAX_TEST_INDEX, last = start + (1UL << order) - 1;
	struct folio *folio;

	dax_test_insert(test, inode, start, 0, order, 0);

	folio = dax_test_pin(test, (1UL << order) - 1);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, 0, start), folio);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, start + 1, start + 1), folio);
	folio_put(folio);

	folio = dax_test_pin(test, 0);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, last, last + 1), folio);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, last - 1, last - 1), folio);
	folio_put(folio);
}

static void layout_outside_of_range_is_ignored(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t start = DAX_TEST_INDEX, last = start + (1UL << order) - 1;
	struct folio *folio;

	dax_test_insert(test, inode, start, 0, order, 0);
	folio = dax_test_pin(test, 0);
	KUNIT_EXPECT_NULL(test, dax_test_busy(inode, 0, start - 1));
	KUNIT_EXPECT_NULL(test, dax_test_busy(inode, last + 1, last + 9));
	folio_put(folio);
}

static void layout_of_other_file_is_not_busy(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct folio *folio;

	dax_test_insert(test, inode, 0, 0, 0, 0);
	folio = dax_test_pin(test, 0);
	inode->i_flags = 0;
	KUNIT_EXPECT_NULL(test, dax_test_busy(inode, 0, 0));
	inode->i_flags = S_DAX;
	folio_put(folio);
}

/* The page of an entry that is locked can be pinned as well as any other. */
static void layout_of_locked_entry_is_waited_for(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	struct folio *folio;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_pin(test, 0);
	t = dax_test_meets_locked(test, task_find_busy, inode, order);
	KUNIT_EXPECT_PTR_EQ(test, t->folio, folio);
	folio_put(folio);
}

static void layout_of_many_entries_is_busy(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	/* More than are looked at without a break. */
	unsigned long n = XA_CHECK_SCHED + 2, i;
	struct folio *last;

	for (i = 0; i < n; i++)
		dax_test_insert(test, inode, i, i, 0, DAX_INSERT_DIRTY);
	KUNIT_EXPECT_NULL(test, dax_test_busy(inode, 0, n - 1));
	last = dax_test_pin(test, n - 1);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, 0, n - 1), last);
	folio_put(last);
}

static void layout_broken_when_unpinned(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	struct dax_test_task *t;
	struct folio *folio;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order,
			DAX_INSERT_DIRTY);
	dax_test_pin(test, 0);
	dax_test_pin(test, 0);
	folio = dax_test_pin(test, last);
	t = dax_test_start(test, task_break_layout, inode, DAX_TEST_INDEX, order);
	dax_test_expect_sleeps(test, t);

	/* One pin less is not none. */
	folio_put(folio);
	folio_put(folio);
	msleep(20);
	KUNIT_EXPECT_FALSE(test, completion_done(&t->done));

	folio_put(folio);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_GT(test, t->waits, 0);
	/* All of it is still there: the caller is to remove it. */
	dax_test_expect_joined(test, 0, order);
	dax_test_expect_owner(test, last, inode, DAX_TEST_INDEX + last);
}

/* After the wait for one page there is another one to wait for. */
static void layout_looked_over_again_after_wait(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct folio *first, *second;
	struct dax_test_task *t;

	dax_test_insert(test, inode, 0, 0, 0, DAX_INSERT_DIRTY);
	dax_test_insert(test, inode, 1, 1, 0, DAX_INSERT_DIRTY);
	second = dax_test_pin(test, 1);
	t = dax_test_start(test, task_break_layout, inode, 0, 1);
	dax_test_expect_sleeps(test, t);
	first = dax_test_pin(test, 0);
	folio_put(second);
	msleep(20);
	dax_test_expect_sleeps(test, t);
	folio_put(first);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
}

static void layout_idle_is_broken_without_wait(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;

	dax_test_insert(test, inode, 0, 0, 0, 0);
	t = dax_test_start(test, task_break_layout, inode, 0, 0);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_EQ(test, t->waits, 0);
}

static void layout_wait_ends_with_signal(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	struct folio *folio;

	dax_test_insert(test, inode, 0, 0, 0, 0);
	folio = dax_test_pin(test, 0);
	t = dax_test_start(test, task_break_layout, inode, 0, 0);
	dax_test_expect_sleeps(test, t);
	send_sig(SIGINT, t->task, 1);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, -ERESTARTSYS);
	folio_put(folio);
}

static void layout_wait_for_eviction_ends_unpinned(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	struct folio *folio;

	KUNIT_EXPECT_EQ(test, dax_wait_unpinned(inode, TASK_KILLABLE), 0);
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_pin(test, (1UL << order) - 1);
	t = dax_test_start(test, task_wait_unpinned, inode, 0, 0);
	dax_test_expect_sleeps(test, t);
	folio_put(folio);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
}

static struct dax_test_eviction dax_test_evictions[2];

/* The last inode of the case is to be evicted by iput(). */
static struct dax_test_eviction *dax_test_follow(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct dax_test_eviction *eviction = &dax_test_evictions[--dt->nr_inodes];

	init_completion(&eviction->begun);
	init_completion(&eviction->go_on);
	init_completion(&eviction->done);
	dt->inodes[dt->nr_inodes]->i_private = eviction;
	return eviction;
}

static void dax_test_expect_evicted(struct kunit *test,
				    struct dax_test_eviction *eviction)
{
	KUNIT_EXPECT_NE(test, 0, wait_for_completion_timeout(&eviction->done,
							     timeout * HZ));
}

/* A kernel thread does not wait in iput(): it leaves the inode to a worker. */
static void layout_pinned_keeps_inode(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct dax_test_eviction *eviction;
	struct folio *folio;

	dax_test_insert(test, inode, 0, 0, 0, 0);
	folio = dax_test_pin(test, 0);
	eviction = dax_test_follow(test);
	complete_all(&eviction->go_on);
	iput(inode);

	KUNIT_EXPECT_EQ(test, 0, wait_for_completion_timeout(&eviction->done,
							     HZ / 10));
	KUNIT_EXPECT_NOT_NULL(test, folio->mapping);
	folio_put(folio);
	dax_test_expect_evicted(test, eviction);
}

static void task_put_inode(struct dax_test_task *t)
{
	iput(t->inode);
}

/* Each of two inodes has the other one that has the page, until both go. */
static void layout_shared_and_pinned_keeps_inode(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct dax_test_eviction *evictions[2];
	struct dax_test_task *tasks[2];
	unsigned int begun = 0;
	struct folio *folio;
	int i;

	dax_test_insert(test, one, 0, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 0, 0, 0, DAX_INSERT_SHARED);
	folio = dax_test_pin(test, 0);
	for (i = 0; i < 2; i++)
		evictions[i] = dax_test_follow(test);
	tasks[0] = dax_test_start(test, task_put_inode, one, 0, 0);
	tasks[1] = dax_test_start(test, task_put_inode, two, 0, 0);
	msleep(100);
	for (i = 0; i < 2; i++)
		begun += completion_done(&evictions[i]->begun);
	/* The other one is to wait for the page. */
	KUNIT_EXPECT_EQ(test, begun, 1);

	folio_put(folio);
	for (i = 0; i < 2; i++)
		complete_all(&evictions[i]->go_on);
	for (i = 0; i < 2; i++) {
		dax_test_join(test, tasks[i]);
		dax_test_expect_evicted(test, evictions[i]);
	}
}

/* Each takes its entry along, and the last one the page. */
static void layout_shared_and_idle_goes_with_inode(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct dax_test_eviction *eviction;
	int i;

	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 2, 0, 0, DAX_INSERT_SHARED);
	for (i = 0; i < 2; i++) {
		struct inode *last = i ? one : two;

		eviction = dax_test_follow(test);
		complete_all(&eviction->go_on);
		iput(last);
		dax_test_expect_evicted(test, eviction);
		if (!i)
			dax_test_expect_shared(test, 0, 1);
	}
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1), 0);
}

/*
 * dax_layout: who drops the last reference, when, and where
 */

/* Go on when all of the tasks have come that are to do so at once. */
static void dax_test_meet(struct dax_test_task *t)
{
	unsigned int nth = atomic_dec_return(&t->dt->missing);
	unsigned long end = jiffies + timeout * HZ;

	set_cpus_allowed_ptr(current, cpumask_of(cpumask_nth(nth % num_online_cpus(),
							     cpu_online_mask)));
	while (atomic_read(&t->dt->missing) && time_before(jiffies, end))
		cond_resched();
}

/* Wait until they have gone on, from where they may have slept. */
static void dax_test_expect_met(struct kunit *test)
{
	unsigned long end = jiffies + timeout * HZ;
	struct dax_test *dt = test->priv;

	while (atomic_read(&dt->missing) && time_before(jiffies, end))
		usleep_range(200, 400);
	KUNIT_EXPECT_EQ(test, atomic_read(&dt->missing), 0);
}

static void task_put_at_once(struct dax_test_task *t)
{
	dax_test_meet(t);
	put_page(t->page);
}

static void task_break_layout_at_once(struct dax_test_task *t)
{
	dax_test_meet(t);
	task_break_layout(t);
}

static void task_wait_unpinned_at_once(struct dax_test_task *t)
{
	dax_test_meet(t);
	task_wait_unpinned(t);
}

/* Two CPUs drop the last two references, while somebody begins to wait. */
static void dax_test_put_at_once(struct kunit *test, struct inode *inode,
				 unsigned int order, struct dax_test_task *waiter)
{
	struct dax_test_task *puts[2];
	int i;

	for (i = 0; i < ARRAY_SIZE(puts); i++) {
		puts[i] = dax_test_start_page(test, task_put_at_once,
					      dax_test_page(i ? 0 : (1UL << order) - 1));
	}
	dax_test_expect_met(test);
	for (i = 0; i < ARRAY_SIZE(puts); i++)
		dax_test_join(test, puts[i]);
	dax_test_join(test, waiter);
	KUNIT_EXPECT_EQ(test, waiter->ret, 0);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(dax_test_folio(0)));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_folio(0)->mapping, &inode->i_data);
}

static void layout_wait_ends_with_last_of_two_puts(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test *dt = test->priv;
	struct dax_test_task *waiter;
	int i;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order,
			DAX_INSERT_DIRTY);
	for (i = 0; i < 10; i++) {
		dax_test_pin(test, 0);
		dax_test_pin(test, 0);
		atomic_set(&dt->missing, 2);
		waiter = dax_test_start(test, task_break_layout, inode,
					DAX_TEST_INDEX, order);
		dax_test_expect_sleeps(test, waiter);
		dax_test_put_at_once(test, inode, order, waiter);

		dax_test_pin(test, 0);
		dax_test_pin(test, 0);
		atomic_set(&dt->missing, 2);
		waiter = dax_test_start(test, task_wait_unpinned, inode, 0, 0);
		dax_test_expect_sleeps(test, waiter);
		dax_test_put_at_once(test, inode, order, waiter);

		/* It may come before, between and after the puts. */
		dax_test_pin(test, 0);
		dax_test_pin(test, 0);
		atomic_set(&dt->missing, 3);
		waiter = dax_test_start(test, task_break_layout_at_once, inode,
					DAX_TEST_INDEX, order);
		dax_test_put_at_once(test, inode, order, waiter);
	}
}

/*
 * dax_layout: files that share a page
 */

static void layout_shared_is_left_to_the_last(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct dax_test_task *t;
	struct folio *folio;

	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 2, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 3, 0, 0, DAX_INSERT_SHARED | DAX_INSERT_DIRTY);
	folio = dax_test_pin(test, 0);
	/* Until it is left that file is not safe to go. */
	KUNIT_EXPECT_TRUE(test, dax_mapping_pinned(&one->i_data));
	KUNIT_EXPECT_TRUE(test, dax_mapping_pinned(&two->i_data));

	t = dax_test_start(test, task_break_layout, one, 0, 9);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_EQ(test, t->waits, 0);
	KUNIT_EXPECT_TRUE(test, mapping_empty(&one->i_data));
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 0);
	KUNIT_EXPECT_FALSE(test, dax_mapping_pinned(&one->i_data));
	dax_test_expect_shared(test, 0, 2);

	/* Of two in one file as well the last one stays. */
	t = dax_test_start(test, task_break_layout, two, 0, 9);
	dax_test_expect_sleeps(test, t);
	dax_test_expect_shared(test, 0, 1);
	KUNIT_EXPECT_EQ(test, two->i_data.nrpages, 1);
	KUNIT_EXPECT_NULL(test, dax_test_load(two, 2));
	KUNIT_EXPECT_TRUE(test, dax_mapping_pinned(&two->i_data));
	folio_put(folio);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_GT(test, t->waits, 0);
	dax_test_expect_shared(test, 0, 1);
}

/* That nobody has it pinned yet is nothing to rely on. */
static void layout_shared_and_idle_is_left(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);

	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 2, 0, 0, DAX_INSERT_SHARED);
	KUNIT_EXPECT_NULL(test, dax_test_busy(one, 0, 9));
	KUNIT_EXPECT_TRUE(test, mapping_empty(&one->i_data));
	dax_test_expect_shared(test, 0, 1);
	/* Also by the last one: others could come, and leave the page to it. */
	KUNIT_EXPECT_NULL(test, dax_test_busy(two, 0, 9));
	KUNIT_EXPECT_TRUE(test, mapping_empty(&two->i_data));
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1), 0);

	/* Unless that would lose what is to be flushed. */
	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED | DAX_INSERT_DIRTY);
	KUNIT_EXPECT_NULL(test, dax_test_busy(one, 0, 9));
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 1);
	dax_test_expect_shared(test, 0, 1);
}

/* Those that are left take their nodes of i_pages with them. */
static void layout_after_many_shared_is_busy(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	unsigned long n = XA_CHECK_SCHED + 2, i;
	struct folio *last;

	for (i = 0; i < n; i++)
		dax_test_insert(test, inode, i, i, 0, DAX_INSERT_SHARED);
	last = dax_test_pin(test, n - 1);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(inode, 0, n - 1), last);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1);
	folio_put(last);
}

static void layout_shared_and_locked_is_left_later(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct dax_test_task *t;
	struct folio *folio;

	dax_test_insert(test, one, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	folio = dax_test_pin(test, 0);
	t = dax_test_meets_locked(test, task_find_busy, one, 0);
	KUNIT_EXPECT_NULL(test, t->folio);
	KUNIT_EXPECT_TRUE(test, dax_is_empty_entry(dax_test_load(one, DAX_TEST_INDEX)));
	dax_test_expect_shared(test, 0, 1);
	folio_put(folio);
}

/* Neither file may rely on the other one: one of them waits. */
static void dax_test_leave_at_once(struct kunit *test, const char *name,
				   void (*fn)(struct dax_test_task *t))
{
	struct inode *inodes[] = { dax_test_inode(test), dax_test_inode(test) };
	struct dax_test *dt = test->priv;
	struct dax_test_task *tasks[2];
	struct folio *folio;
	int round, i;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 2; i++)
			dax_test_insert(test, inodes[i], i, 0, 0, DAX_INSERT_SHARED);
		folio = dax_test_pin(test, 0);
		atomic_set(&dt->missing, 2);
		for (i = 0; i < 2; i++) {
			tasks[i] = __dax_test_start(test, name, fn, inodes[i],
						    0, 1, NULL, NULL);
		}
		dax_test_expect_met(test);
		/* False for the one that is done. */
		KUNIT_EXPECT_EQ(test, 1, dax_test_sleeps(tasks[0]) +
					 dax_test_sleeps(tasks[1]));
		KUNIT_EXPECT_EQ(test, 1, inodes[0]->i_data.nrpages +
					 inodes[1]->i_data.nrpages);
		dax_test_expect_shared(test, 0, 1);
		folio_put(folio);
		for (i = 0; i < 2; i++) {
			dax_test_join(test, tasks[i]);
			KUNIT_EXPECT_EQ(test, tasks[i]->ret, 0);
			truncate_inode_pages(&inodes[i]->i_data, 0);
		}
		KUNIT_EXPECT_EQ(test, dax_test_used_pages(1), 0);
	}
}

static void layout_shared_broken_at_once_is_waited_for(struct kunit *test)
{
	dax_test_leave_at_once(test, "task_break_layout_at_once",
			       task_break_layout_at_once);
}

static void layout_shared_unpinned_at_once_is_waited_for(struct kunit *test)
{
	dax_test_leave_at_once(test, "task_wait_unpinned_at_once",
			       task_wait_unpinned_at_once);
}

/*
 * dax_layout: what is mapped
 */

static vm_fault_t dax_test_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	XA_STATE_ORDER(xas, &mapping->i_pages, vmf->pgoff, order);
	void *entry = dax_grab_entry(&xas, mapping, order);
	vm_fault_t fault = VM_FAULT_SIGBUS;
	unsigned long offset;
	int id;

	if (dax_is_fault(entry))
		return dax_entry_to_fault(entry);
	if (order && order != dax_entry_order(entry)) {
		fault = VM_FAULT_FALLBACK;
	/* Cases insert it before they map it. */
	} else if (!dax_is_empty_entry(entry)) {
		offset = xas.xa_index & ((1UL << dax_entry_order(entry)) - 1);
		id = dax_read_lock();
		fault = dax_map_pfn(vmf, dax_to_pfn(entry) + offset, order,
				    vmf->flags & FAULT_FLAG_WRITE);
		dax_read_unlock(id);
	}
	dax_unlock_entry(&xas, entry);
	return fault;
}

static vm_fault_t dax_test_small_fault(struct vm_fault *vmf)
{
	return dax_test_huge_fault(vmf, 0);
}

static const struct vm_operations_struct dax_test_vm_ops = {
	.fault		= dax_test_small_fault,
	.huge_fault	= dax_test_huge_fault,
};

static int dax_test_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &dax_test_vm_ops;
	return 0;
}

static const struct file_operations dax_test_fops = {
	.mmap	= dax_test_mmap,
};

/* Map the entry at DAX_TEST_INDEX. */
static unsigned long dax_test_map(struct kunit *test, struct inode *inode,
				  unsigned int order)
{
	struct dax_test *dt = test->priv;
	/* Two files at two addresses, aligned as the entry is. */
	unsigned long addr = inode == dt->inodes[0] ? PUD_SIZE : 2 * PUD_SIZE;
	unsigned long ret;
	struct file *file;

	ihold(inode);
	file = alloc_file_pseudo(inode, dax_test_world.mnt, "dax_kunit", O_RDWR,
				 &dax_test_fops);
	if (IS_ERR(file))
		iput(inode);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	ret = kunit_vm_mmap(test, file, addr, PAGE_SIZE << order,
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    dax_test_pos(DAX_TEST_INDEX));
	fput(file);
	KUNIT_ASSERT_EQ(test, ret, addr);
	return addr;
}

static void dax_test_unmap(unsigned long addr, unsigned int order)
{
	vm_munmap(addr, PAGE_SIZE << order);
}

/* Pin a page where it is mapped, and map it if it is not. */
static struct page *dax_test_gup(struct kunit *test, unsigned long addr)
{
	struct page *page;

	KUNIT_ASSERT_EQ(test, 1, pin_user_pages_fast(addr, 1, FOLL_WRITE, &page));
	return page;
}

static void dax_test_touch(struct kunit *test, unsigned long addr)
{
	unpin_user_page(dax_test_gup(test, addr));
}

/* Whoever uses the file again keeps what is mapped, and its entries. */
static void layout_in_use_again_stays(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct dax_test_task *t;
	unsigned long addr;
	struct folio *folio;

	KUNIT_EXPECT_EQ(test, dax_wait_busy(&one->i_data, TASK_IDLE), 0);
	addr = dax_test_map(test, one, 0);
	dax_test_insert(test, one, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 0, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, one, DAX_TEST_INDEX + 1, 1, 0, 0);
	folio = dax_test_pin(test, 1);
	t = dax_test_start(test, task_wait_busy, one, 0, 0);
	dax_test_expect_sleeps(test, t);
	dax_test_touch(test, addr);
	folio_put(folio);
	dax_test_join(test, t);
	KUNIT_EXPECT_TRUE(test, folio_mapped(dax_test_folio(0)));
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 2);
	dax_test_unmap(addr, 0);
}

/* A page table is a user, of the folio as a whole if it maps all of it. */
static void layout_of_mapped_entry_is_unmapped(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	unsigned long addr = dax_test_map(test, inode, order);
	struct folio *folio;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order,
			DAX_INSERT_DIRTY);
	folio = dax_test_folio(0);
	dax_test_touch(test, addr + last * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, folio_mapcount(folio), 1);
	dax_test_touch(test, addr);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, folio_mapcount(folio), 1);

	KUNIT_EXPECT_NULL(test, dax_test_busy(inode, DAX_TEST_INDEX, DAX_TEST_INDEX));
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
	dax_test_expect_joined(test, 0, order);

	/* And so does munmap(2). */
	dax_test_touch(test, addr);
	KUNIT_EXPECT_FALSE(test, dax_folio_is_idle(folio));
	dax_test_unmap(addr, order);
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
	dax_test_expect_joined(test, 0, order);
	dax_test_remove(inode, DAX_TEST_INDEX, order);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
}

static void layout_broken_when_user_unpins(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	unsigned long addr = dax_test_map(test, inode, order);
	struct dax_test_task *t;
	struct page *page;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	page = dax_test_gup(test, addr + last * PAGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, page, dax_test_page(last));
	t = dax_test_start(test, task_break_layout, inode, DAX_TEST_INDEX, order);
	dax_test_expect_sleeps(test, t);
	KUNIT_EXPECT_FALSE(test, folio_mapped(page_folio(page)));
	unpin_user_page(page);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(page_folio(page)));
	dax_test_unmap(addr, order);
}

static bool dax_test_becomes_unmapped(struct folio *folio)
{
	unsigned long end = jiffies + timeout * HZ;

	while (folio_mapped(folio) && time_before(jiffies, end))
		usleep_range(200, 400);
	return !folio_mapped(folio);
}

/* Page faults come in between, as the waiter has dropped the locks. */
static void layout_mapped_meanwhile_is_unmapped(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long addr = dax_test_map(test, inode, order);
	struct dax_test_task *t;
	struct folio *folio;
	int i;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_pin(test, 0);
	t = dax_test_start(test, task_break_layout, inode, DAX_TEST_INDEX, order);
	for (i = 0; i < 3; i++) {
		dax_test_expect_sleeps(test, t);
		dax_test_touch(test, addr);
		KUNIT_EXPECT_TRUE(test, dax_test_becomes_unmapped(folio));
	}
	/* The last pin goes while it is mapped, or has just been. */
	dax_test_touch(test, addr);
	folio_put(folio);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
	dax_test_unmap(addr, order);
}

/* One file has looked for users when another comes to share a page, and goes. */
static void layout_shared_once_broken_is_waited_for(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct folio *folio;

	dax_test_insert(test, one, 0, 0, 0, 0);
	KUNIT_EXPECT_NULL(test, dax_test_busy(one, 0, 0));
	dax_test_insert(test, two, 0, 0, 0, DAX_INSERT_SHARED);
	folio = dax_test_pin(test, 0);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_busy(two, 0, 0), folio);
	truncate_inode_pages(&one->i_data, 0);
	folio_put(folio);
}

/* What maps it waits for its pins. */
static void layout_mapped_by_others_is_not_pinned(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	unsigned long addr = dax_test_map(test, two, 0);
	struct folio *folio;

	dax_test_insert(test, one, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_test_touch(test, addr);
	folio = dax_test_pin(test, 0);
	KUNIT_EXPECT_FALSE(test, dax_mapping_pinned(&one->i_data));
	KUNIT_EXPECT_EQ(test, dax_wait_busy(&one->i_data, TASK_IDLE), 0);
	dax_test_unmap(addr, 0);
	KUNIT_EXPECT_TRUE(test, dax_mapping_pinned(&one->i_data));
	folio_put(folio);
	KUNIT_EXPECT_FALSE(test, dax_mapping_pinned(&one->i_data));
}

static void layout_mapped_by_others_is_left(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	unsigned long addr_one = dax_test_map(test, one, 0);
	unsigned long addr_two = dax_test_map(test, two, 0);
	struct folio *folio = dax_test_folio(0);
	struct dax_test_task *t;

	dax_test_insert(test, one, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_test_touch(test, addr_one);
	dax_test_touch(test, addr_two);
	KUNIT_EXPECT_EQ(test, folio_mapcount(folio), 2);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 2);

	t = dax_test_start(test, task_break_layout, one, DAX_TEST_INDEX, 0);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_EQ(test, t->waits, 0);
	KUNIT_EXPECT_EQ(test, folio_mapcount(folio), 1);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	dax_test_expect_shared(test, 0, 1);

	t = dax_test_start(test, task_break_layout, two, DAX_TEST_INDEX, 0);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
	dax_test_unmap(addr_one, 0);
	dax_test_unmap(addr_two, 0);
}

/*
 * dax_layout: a device that goes away
 */

static void task_unmap_device(struct dax_test_task *t)
{
	memunmap_pages(t->pgmap);
}

static void layout_of_device_that_goes_is_waited_for(struct kunit *test)
{
	static struct dev_pagemap pgmap;
	struct folio *busy, *idle;
	struct dax_test_task *t;
	struct resource *res;

	res = dax_test_map_device(&pgmap, memremap_compat_align());
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, res);
	busy = pfn_folio(PHYS_PFN(res->start));
	idle = pfn_folio(PHYS_PFN(res->start) + 1);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(busy));
	KUNIT_EXPECT_FALSE(test, folio_try_get(busy));
	KUNIT_EXPECT_TRUE(test, zone_device_request_folio(busy));

	t = dax_test_start_pgmap(test, task_unmap_device, &pgmap);
	dax_test_expect_sleeps(test, t);
	KUNIT_EXPECT_FALSE(test, zone_device_request_folio(idle));
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(idle));
	KUNIT_EXPECT_TRUE(test, folio_try_get(busy));
	folio_put(busy);
	KUNIT_EXPECT_FALSE(test, completion_done(&t->done));
	folio_put(busy);
	dax_test_join(test, t);
	release_mem_region(res->start, resource_size(res));
}

static void layout_unmapped_with_device_keeps_entry(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long addr = dax_test_map(test, inode, order);
	struct folio *folio;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_folio(0);
	dax_test_touch(test, addr);
	KUNIT_EXPECT_TRUE(test, folio_mapped(folio));
	dax_unmap_device(&dax_test_world.pgmap);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	dax_test_unmap(addr, order);
}

static void layout_forgotten_with_device_has_no_pages(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	pgoff_t next = DAX_TEST_INDEX + (1UL << order);

	dax_test_insert(test, one, DAX_TEST_INDEX, 0, order, DAX_INSERT_DIRTY);
	dax_test_insert_zero(test, one, next, 0);
	dax_test_insert_empty(test, one, next + 1, 0);
	dax_test_insert(test, two, 0, 1UL << order, 0, 0);
	dax_forget_device(&dax_test_world.pgmap);
	KUNIT_EXPECT_NULL(test, dax_test_load(one, DAX_TEST_INDEX));
	KUNIT_EXPECT_NULL(test, dax_test_load(two, 0));
	KUNIT_EXPECT_NOT_NULL(test, dax_test_load(one, next));
	KUNIT_EXPECT_NOT_NULL(test, dax_test_load(one, next + 1));
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 2);
	KUNIT_EXPECT_EQ(test, two->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages((1UL << order) + 1), 0);

	/* What was dirty has been lost, which is for one to hear. */
	KUNIT_EXPECT_EQ(test, filemap_check_errors(&one->i_data), -EIO);
	KUNIT_EXPECT_EQ(test, filemap_check_errors(&two->i_data), 0);
}

static void layout_shared_and_forgotten_has_no_pages(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);

	dax_test_insert(test, one, 0, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, DAX_TEST_INDEX, 0, 0, DAX_INSERT_SHARED);
	dax_forget_device(&dax_test_world.pgmap);
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, two->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1), 0);
}

/* They take their nodes of i_pages with them while the walk goes on. */
static void layout_of_many_entries_is_forgotten(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	unsigned long n = XA_CHECK_SCHED + 2, i;

	for (i = 0; i < n; i++)
		dax_test_insert(test, inode, i, i, 0, 0);
	dax_forget_device(&dax_test_world.pgmap);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(n), 0);
}

/* Of another device, and of a type of memory that DAX has nothing to do with. */
static void layout_of_other_device_is_not_forgotten(struct kunit *test)
{
	struct dev_pagemap other = dax_test_world.pgmap;
	struct inode *inode = dax_test_inode(test);
	void *entry = dax_test_insert(test, inode, 0, 0, 0, DAX_INSERT_DIRTY);

	other.range.start = dax_test_world.pgmap.range.end + 1;
	other.range.end = other.range.start + PAGE_SIZE - 1;
	dax_forget_device(&other);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, 0), entry);

	other.range = dax_test_world.pgmap.range;
	other.type = MEMORY_DEVICE_PCI_P2PDMA;
	dax_forget_device(&other);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, 0), entry);
	KUNIT_EXPECT_EQ(test, filemap_check_errors(&inode->i_data), 0);
}

/*
 * In files without DAX, values are shadows of pages that were reclaimed. This
 * one could be taken for a page of the device.
 */
static void layout_of_shadow_is_not_forgotten(struct kunit *test)
{
	struct inode *dax = dax_test_inode(test), *other = dax_test_inode(test);
	struct xarray *xa = &other->i_data.i_pages;
	void *shadow = dax_test_entry(test, 0, 0);
	int i;

	other->i_flags = 0;
	KUNIT_EXPECT_NULL(test, xa_store_irq(xa, 1, shadow, GFP_KERNEL));
	for (i = 0; i < 2; i++) {
		dax_test_insert(test, dax, 0, 1, 0, 0);
		/* Who is to make way for others holds on to any file. */
		if (i)
			set_tsk_need_resched(current);
		dax_forget_device(&dax_test_world.pgmap);
		KUNIT_EXPECT_NULL(test, dax_test_load(dax, 0));
		KUNIT_EXPECT_PTR_EQ(test, dax_test_load(other, 1), shadow);
		KUNIT_EXPECT_EQ(test, other->i_data.nrpages, 0);
		KUNIT_EXPECT_FALSE(test, dax_test_is_used(0));
	}
	xa_erase_irq(xa, 1);
	other->i_flags = S_DAX;
}

static void task_forget_device(struct dax_test_task *t)
{
	dax_forget_device(&dax_test_world.pgmap);
}

static void layout_forgotten_while_locked_goes_later(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	dax_test_meets_locked(test, task_forget_device, inode, order);
	dax_test_expect_removed(test, inode, order);
}

/*
 * The eviction of an inode waits for a page of one device while another one,
 * of which it has a page too, goes away.
 */
static void layout_forgotten_under_eviction_goes(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	XA_STATE(xas, &inode->i_data.i_pages, 1);
	struct dax_test_eviction *eviction;
	static struct dev_pagemap pgmap;
	struct dax_test_task *t;
	struct resource *res;
	struct folio *folio;
	bool inserted;
	void *entry;

	res = dax_test_map_device(&pgmap, memremap_compat_align());
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, res);
	dax_test_insert(test, inode, 0, 0, 0, 0);
	folio = dax_test_pin(test, 0);
	entry = dax_grab_entry(&xas, &inode->i_data, 0);
	KUNIT_ASSERT_FALSE(test, dax_is_fault(entry));
	inserted = !dax_insert_entry(&xas, &inode->i_data, &entry,
				     dax_make_entry(PHYS_PFN(res->start), 0), 0);
	KUNIT_EXPECT_TRUE(test, inserted);
	eviction = dax_test_follow(test);
	complete_all(&eviction->go_on);
	iput(inode);

	/* The entry is locked still. */
	t = dax_test_start_pgmap(test, task_unmap_device, &pgmap);
	dax_test_expect_sleeps(test, t);
	dax_unlock_entry(&xas, entry);
	dax_test_join(test, t);
	release_mem_region(res->start, resource_size(res));

	KUNIT_EXPECT_FALSE(test, completion_done(&eviction->begun));
	folio_put(folio);
	dax_test_expect_evicted(test, eviction);
}

/*
 * dax_layout: entries that make room for others
 */

static void task_remove_large(struct dax_test_task *t)
{
	dax_remove_large_entries(&t->inode->i_data, t->index,
				 t->index + (1UL << t->order) - 1);
}

static void layout_large_entries_are_removed(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	pgoff_t next = DAX_TEST_INDEX + (1UL << order);
	void *before, *after;

	before = dax_test_insert(test, inode, DAX_TEST_INDEX - 1, 0, 0, 0);
	after = dax_test_insert(test, inode, next, 1, 0, DAX_INSERT_DIRTY);
	dax_test_insert_zero(test, inode, DAX_TEST_INDEX, order);
	dax_test_insert_empty(test, inode, next + (1UL << order), order);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 2 + (2UL << order));

	dax_remove_large_entries(&inode->i_data, 0, ULONG_MAX);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX - 1), before);
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, next + (1UL << order)));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, next), after);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, next));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 2);
	dax_test_remove(inode, DAX_TEST_INDEX - 1, 0);
	dax_test_remove(inode, next, 0);

	/* One page of it in the range is enough, from either end. */
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	dax_remove_large_entries(&inode->i_data, 0, DAX_TEST_INDEX - 1);
	dax_remove_large_entries(&inode->i_data, next, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
	dax_remove_large_entries(&inode->i_data, next - 1, next);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	dax_remove_large_entries(&inode->i_data, 0, DAX_TEST_INDEX);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
}

/* Reflink: what was in one file at large is in two of them by the page. */
static void layout_without_large_entries_is_shared(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;

	dax_test_insert(test, one, DAX_TEST_INDEX, 0, order, 0);
	dax_remove_large_entries(&one->i_data, DAX_TEST_INDEX + 1,
				 DAX_TEST_INDEX + 1);
	dax_test_insert(test, one, DAX_TEST_INDEX + last, last, 0,
			DAX_INSERT_SHARED);
	dax_test_insert(test, two, 7, last, 0, DAX_INSERT_SHARED);
	dax_test_expect_shared(test, last, 2);
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 1);
	KUNIT_EXPECT_EQ(test, two->i_data.nrpages, 1);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 1);
}

static void layout_large_and_locked_is_removed_later(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	void *entry;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	entry = dax_test_lock(test, inode, DAX_TEST_INDEX, order);
	/* Only its first page: those who are woken add entries behind that. */
	t = dax_test_start(test, task_remove_large, inode, DAX_TEST_INDEX, 0);
	dax_test_expect_all_woken(test, inode, entry, t);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
}

static void layout_large_after_many_entries_is_removed(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	unsigned long n = XA_CHECK_SCHED + 2, i;
	unsigned long large = ALIGN(n, 1UL << PMD_ORDER);

	for (i = 0; i < n; i++)
		dax_test_insert(test, inode, i, i, 0, 0);
	dax_test_insert(test, inode, large, large, PMD_ORDER, 0);
	dax_remove_large_entries(&inode->i_data, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, n);
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, large));
}

/* A write fault that copies @page, as a filesystem with reflink has it. */
static vm_fault_t dax_test_cow(struct kunit *test, struct inode *inode,
			       pgoff_t index, unsigned long page,
			       unsigned int order)
{
	struct address_space *mapping = &inode->i_data;
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	void *entry = dax_grab_entry(&xas, mapping, order);
	vm_fault_t fault;

	if (dax_is_fault(entry))
		return dax_entry_to_fault(entry);
	fault = dax_insert_entry(&xas, mapping, &entry,
				 dax_test_entry(test, page, order),
				 DAX_INSERT_COW);
	dax_unlock_entry(&xas, entry);
	return fault;
}

static void dax_test_expect_cow(struct kunit *test, struct inode *inode,
				pgoff_t index, unsigned long page,
				unsigned int order, vm_fault_t fault)
{
	KUNIT_EXPECT_EQ(test, (__force unsigned int)fault, (__force unsigned int)
			dax_test_cow(test, inode, index, page, order));
}

static void layout_copied_while_pinned_is_kept(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long nr = 1UL << order;
	struct folio *folio;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_pin(test, nr - 1);
	dax_test_expect_cow(test, inode, DAX_TEST_INDEX, nr, order,
			    VM_FAULT_FALLBACK);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, nr);
	dax_test_expect_joined(test, 0, order);
	dax_test_expect_owner(test, nr - 1, inode, DAX_TEST_INDEX + nr - 1);
	folio_put(folio);

	dax_test_expect_cow(test, inode, DAX_TEST_INDEX, nr, order, 0);
	dax_test_expect_owner(test, nr, inode, DAX_TEST_INDEX);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(nr), 0);
}

/* The other file waits for the pin. */
static void layout_copied_while_pinned_and_shared_is_left(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct folio *folio;

	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 2, 0, 0, DAX_INSERT_SHARED);
	folio = dax_test_pin(test, 0);
	dax_test_expect_cow(test, one, 1, 1, 0, 0);
	dax_test_expect_owner(test, 1, one, 1);
	dax_test_expect_shared(test, 0, 1);
	dax_test_expect_cow(test, two, 2, 2, 0, VM_FAULT_FALLBACK);
	dax_test_expect_shared(test, 0, 1);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(3), 2);
	folio_put(folio);
}

static void task_make_way(struct dax_test_task *t)
{
	t->fault = dax_make_way(&t->inode->i_data, t->index);
}

static void layout_way_is_made_when_unpinned(struct kunit *test)
{
	unsigned int small = dax_test_small_order(test);
	unsigned int large = dax_test_large_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long nr = 1UL << large;
	pgoff_t index = DAX_TEST_INDEX + nr - (1UL << small);
	struct dax_test_task *t;
	struct folio *folio;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, large, 0);
	dax_test_expect_cow(test, inode, index, nr, small, VM_FAULT_FALLBACK);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, nr);
	dax_test_expect_joined(test, 0, large);

	folio = dax_test_pin(test, 0);
	t = dax_test_start(test, task_make_way, inode, index, 0);
	dax_test_expect_sleeps(test, t);
	dax_test_expect_owner(test, 0, inode, DAX_TEST_INDEX);
	folio_put(folio);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, (__force unsigned int)t->fault,
			(__force unsigned int)VM_FAULT_NOPAGE);

	/* The fault is repeated, and has its way. */
	dax_test_expect_cow(test, inode, index, nr, small, VM_FAULT_FALLBACK);
	KUNIT_EXPECT_EQ(test, (__force unsigned int)VM_FAULT_NOPAGE,
			(__force unsigned int)dax_make_way(&inode->i_data, index));
	KUNIT_EXPECT_TRUE(test, mapping_empty(&inode->i_data));
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(nr), 0);
	dax_test_expect_cow(test, inode, index, nr, small, 0);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << small);
}

/* As before a copy on write: who has it pinned is waited for. */
static void layout_invalidated_while_pinned_is_kept(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	struct dax_test_task *t;
	struct folio *folio;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_pin(test, last);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			invalidate_inode_pages2_range(&inode->i_data,
						      DAX_TEST_INDEX,
						      DAX_TEST_INDEX));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);

	/* Whoever waits for the entry meanwhile gets it in the end. */
	t = dax_test_meets_locked(test, task_invalidate, inode, order);
	KUNIT_EXPECT_EQ(test, t->ret, -EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1UL << order);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	dax_test_expect_joined(test, 0, order);
	dax_test_expect_owner(test, last, inode, DAX_TEST_INDEX + last);

	folio_put(folio);
	KUNIT_EXPECT_EQ(test, 0,
			invalidate_inode_pages2_range(&inode->i_data,
						      DAX_TEST_INDEX,
						      DAX_TEST_INDEX));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
}

static void layout_invalidated_among_others_is_kept(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	struct folio *folio;

	dax_test_insert(test, inode, 1, 1, 0, 0);
	dax_test_insert(test, inode, 2, 2, 0, 0);
	dax_test_insert(test, inode, 3, 3, 0, 0);
	folio = dax_test_pin(test, 2);
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&inode->i_data), -EBUSY);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 1);
	dax_test_expect_owner(test, 2, inode, 2);
	folio_put(folio);
}

static void layout_invalidated_and_shared_is_left(struct kunit *test)
{
	struct inode *one = dax_test_inode(test), *two = dax_test_inode(test);
	struct folio *folio;

	dax_test_insert(test, one, 1, 0, 0, DAX_INSERT_SHARED);
	dax_test_insert(test, two, 2, 0, 0, DAX_INSERT_SHARED);
	folio = dax_test_pin(test, 0);
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&one->i_data), 0);
	KUNIT_EXPECT_TRUE(test, mapping_empty(&one->i_data));
	KUNIT_EXPECT_EQ(test, one->i_data.nrpages, 0);
	dax_test_expect_shared(test, 0, 1);
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&two->i_data), -EBUSY);
	dax_test_expect_shared(test, 0, 1);
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&two->i_data), 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1), 0);
}

static void layout_invalidated_while_mapped_is_removed(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long addr = dax_test_map(test, inode, order);
	struct folio *folio;
	struct page *page;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_folio(0);
	page = dax_test_gup(test, addr);
	KUNIT_EXPECT_TRUE(test, folio_mapped(folio));
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&inode->i_data), -EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, DAX_TEST_INDEX), entry);
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_FALSE(test, dax_folio_is_idle(folio));
	unpin_user_page(page);
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));

	dax_test_touch(test, addr);
	KUNIT_EXPECT_TRUE(test, folio_mapped(folio));
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(&inode->i_data), 0);
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
	dax_test_unmap(addr, order);
}

/* FUSE truncates what is mapped still when its server tells of a new size. */
static void layout_truncated_while_mapped_is_removed(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	unsigned long last = (1UL << order) - 1;
	unsigned long addr = dax_test_map(test, inode, order);
	int tainted = test_taint(TAINT_WARN);
	struct folio *folio;

	dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order, 0);
	folio = dax_test_folio(0);
	dax_test_touch(test, addr + last * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, folio_mapped(folio));
	truncate_inode_pages(&inode->i_data, 0);
	KUNIT_EXPECT_NULL(test, dax_test_load(inode, DAX_TEST_INDEX));
	KUNIT_EXPECT_EQ(test, inode->i_data.nrpages, 0);
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_TRUE(test, dax_folio_is_idle(folio));
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1UL << order), 0);
	KUNIT_EXPECT_EQ(test, test_taint(TAINT_WARN), tainted);
	dax_test_unmap(addr, order);
}

static struct kunit_case dax_layout_cases[] = {
	KUNIT_CASE_PARAM(layout_of_idle_pages_is_not_busy, size_gen_params),
	KUNIT_CASE_PARAM(layout_of_pinned_page_is_busy, size_gen_params),
	KUNIT_CASE_PARAM(layout_range_does_not_cut_entry, large_size_gen_params),
	KUNIT_CASE_PARAM(layout_outside_of_range_is_ignored, size_gen_params),
	KUNIT_CASE(layout_of_other_file_is_not_busy),
	KUNIT_CASE_PARAM(layout_of_locked_entry_is_waited_for, size_gen_params),
	KUNIT_CASE_SLOW(layout_of_many_entries_is_busy),
	KUNIT_CASE_PARAM(layout_broken_when_unpinned, size_gen_params),
	KUNIT_CASE(layout_looked_over_again_after_wait),
	KUNIT_CASE(layout_idle_is_broken_without_wait),
	KUNIT_CASE(layout_wait_ends_with_signal),
	KUNIT_CASE_PARAM(layout_wait_for_eviction_ends_unpinned, size_gen_params),
	KUNIT_CASE(layout_pinned_keeps_inode),
	KUNIT_CASE(layout_shared_and_pinned_keeps_inode),
	KUNIT_CASE(layout_shared_and_idle_goes_with_inode),
	KUNIT_CASE_PARAM(layout_wait_ends_with_last_of_two_puts, size_gen_params),
	KUNIT_CASE(layout_in_use_again_stays),
	KUNIT_CASE(layout_shared_is_left_to_the_last),
	KUNIT_CASE(layout_shared_and_idle_is_left),
	KUNIT_CASE(layout_after_many_shared_is_busy),
	KUNIT_CASE(layout_shared_and_locked_is_left_later),
	KUNIT_CASE(layout_shared_broken_at_once_is_waited_for),
	KUNIT_CASE(layout_shared_unpinned_at_once_is_waited_for),
	KUNIT_CASE_PARAM(layout_of_mapped_entry_is_unmapped, size_gen_params),
	KUNIT_CASE_PARAM(layout_broken_when_user_unpins, size_gen_params),
	KUNIT_CASE_PARAM(layout_mapped_meanwhile_is_unmapped, size_gen_params),
	KUNIT_CASE(layout_shared_once_broken_is_waited_for),
	KUNIT_CASE(layout_mapped_by_others_is_not_pinned),
	KUNIT_CASE(layout_mapped_by_others_is_left),
	KUNIT_CASE(layout_of_device_that_goes_is_waited_for),
	KUNIT_CASE_PARAM(layout_unmapped_with_device_keeps_entry, size_gen_params),
	KUNIT_CASE_PARAM(layout_forgotten_with_device_has_no_pages,
			 size_gen_params),
	KUNIT_CASE(layout_shared_and_forgotten_has_no_pages),
	KUNIT_CASE(layout_of_many_entries_is_forgotten),
	KUNIT_CASE(layout_of_other_device_is_not_forgotten),
	KUNIT_CASE(layout_of_shadow_is_not_forgotten),
	KUNIT_CASE_PARAM(layout_forgotten_while_locked_goes_later,
			 size_gen_params),
	KUNIT_CASE(layout_forgotten_under_eviction_goes),
	KUNIT_CASE_PARAM(layout_large_entries_are_removed, large_size_gen_params),
	KUNIT_CASE_PARAM(layout_without_large_entries_is_shared,
			 large_size_gen_params),
	KUNIT_CASE_PARAM(layout_large_and_locked_is_removed_later,
			 large_size_gen_params),
	KUNIT_CASE_SLOW(layout_large_after_many_entries_is_removed),
	KUNIT_CASE_PARAM(layout_copied_while_pinned_is_kept, size_gen_params),
	KUNIT_CASE(layout_copied_while_pinned_and_shared_is_left),
	KUNIT_CASE_PARAM(layout_way_is_made_when_unpinned, pair_gen_params),
	KUNIT_CASE_PARAM(layout_invalidated_while_pinned_is_kept, size_gen_params),
	KUNIT_CASE(layout_invalidated_among_others_is_kept),
	KUNIT_CASE(layout_invalidated_and_shared_is_left),
	KUNIT_CASE_PARAM(layout_invalidated_while_mapped_is_removed,
			 size_gen_params),
	KUNIT_CASE_PARAM(layout_truncated_while_mapped_is_removed,
			 size_gen_params),
	{}
};

static struct kunit_suite dax_layout_suite = {
	.name		= "dax_layout",
	.suite_init	= dax_test_suite_init,
	.suite_exit	= dax_test_suite_exit,
	.init		= dax_test_init,
	.exit		= dax_test_exit,
	.test_cases	= dax_layout_cases,
};

/*
 * dax_writeback
 */

static void dax_test_expect_written(struct kunit *test, struct inode *inode,
				    pgoff_t index, void *entry)
{
	KUNIT_EXPECT_FALSE(test, dax_test_is_dirty(inode, index));
	KUNIT_EXPECT_FALSE(test, dax_test_is_towrite(inode, index));
	KUNIT_EXPECT_PTR_EQ(test, dax_test_load(inode, index), entry);
}

static void writeback_clears_marks(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	loff_t middle = dax_test_pos(DAX_TEST_INDEX) + (PAGE_SIZE << order) / 2;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order,
				DAX_INSERT_DIRTY);
	KUNIT_EXPECT_EQ(test, 0, dax_test_writeback(inode, middle, middle,
						    WB_SYNC_ALL));
	dax_test_expect_written(test, inode, DAX_TEST_INDEX, entry);
}

static void writeback_outside_of_range_is_none(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	void *entry;

	dax_test_insert(test, inode, 1, 0, 0, DAX_INSERT_DIRTY);
	entry = dax_test_insert(test, inode, 2, 1, 0, DAX_INSERT_DIRTY);
	dax_test_insert(test, inode, 3, 2, 0, DAX_INSERT_DIRTY);
	KUNIT_EXPECT_EQ(test, 0, dax_test_writeback(inode, dax_test_pos(2),
						    dax_test_pos(3) - 1,
						    WB_SYNC_ALL));
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, 1));
	dax_test_expect_written(test, inode, 2, entry);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, 3));
}

static void writeback_without_sync_is_none(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);

	KUNIT_EXPECT_EQ(test, 0, dax_test_writeback(inode, 0, LLONG_MAX, WB_SYNC_ALL));
	dax_test_insert(test, inode, 1, 0, 0, DAX_INSERT_DIRTY);
	KUNIT_EXPECT_EQ(test, 0, dax_test_writeback(inode, 0, LLONG_MAX, WB_SYNC_NONE));
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, 1));
}

static void writeback_of_small_blocks_fails(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	unsigned int blkbits = inode->i_blkbits;

	dax_test_requires_warnings(test);
	dax_test_insert(test, inode, 1, 0, 0, DAX_INSERT_DIRTY);
	inode->i_blkbits = 9;
	KUNIT_EXPECT_EQ(test, -EIO, dax_test_writeback(inode, 0, LLONG_MAX, WB_SYNC_ALL));
	inode->i_blkbits = blkbits;
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(inode, 1));
}

static void writeback_of_many_entries_is_complete(struct kunit *test)
{
	struct inode *inode = dax_test_inode(test);
	unsigned long n = XA_CHECK_SCHED + 2, i;

	for (i = 0; i < n; i++)
		dax_test_insert(test, inode, i, i, 0, DAX_INSERT_DIRTY);
	KUNIT_EXPECT_EQ(test, 0, dax_test_writeback(inode, 0, LLONG_MAX, WB_SYNC_ALL));
	KUNIT_EXPECT_FALSE(test, mapping_tagged(&inode->i_data, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_FALSE(test, mapping_tagged(&inode->i_data, PAGECACHE_TAG_TOWRITE));
}

/* fsync(2) is not done before what others have locked is flushed. */
static void writeback_of_locked_entry_waits(struct kunit *test)
{
	unsigned int order = dax_test_param_order(test);
	struct inode *inode = dax_test_inode(test);
	struct dax_test_task *t;
	void *entry;

	entry = dax_test_insert(test, inode, DAX_TEST_INDEX, 0, order,
				DAX_INSERT_DIRTY);
	t = dax_test_meets_locked(test, task_write_back, inode, order);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	dax_test_expect_written(test, inode, DAX_TEST_INDEX, entry);
}

/*
 * What becomes of a locked entry while writeback waits for it, and somebody
 * else does after that.
 */
struct dax_test_locked {
	struct xa_state xas;
	struct inode *inode;
	void *entry;
	struct dax_test_task *writeback;
	struct dax_test_task *next;
};

static void dax_test_lock_dirty(struct kunit *test, struct dax_test_locked *l)
{
	struct inode *inode = dax_test_inode(test);

	l->inode = inode;
	l->xas = (struct xa_state)__XA_STATE(&inode->i_data.i_pages, 1, 0, 0);
	dax_test_insert(test, inode, 1, 0, 0, DAX_INSERT_DIRTY);
	l->entry = dax_grab_entry(&l->xas, &inode->i_data, 0);
	KUNIT_ASSERT_FALSE(test, dax_is_fault(l->entry));
}

static bool dax_test_replace(struct dax_test_locked *l, void *new,
			     unsigned int flags)
{
	return !dax_insert_entry(&l->xas, &l->inode->i_data, &l->entry, new,
				 flags);
}

static void dax_test_queue(struct kunit *test, struct dax_test_locked *l)
{
	l->writeback = dax_test_start(test, task_write_back, l->inode, 1, 0);
	dax_test_expect_sleeps(test, l->writeback);
	l->next = dax_test_start(test, task_grab_entry, l->inode, 1, 0);
	dax_test_expect_sleeps(test, l->next);
}

static void dax_test_unlock_queue(struct kunit *test, struct dax_test_locked *l)
{
	dax_unlock_entry(&l->xas, l->entry);
	dax_test_join(test, l->writeback);
	dax_test_join(test, l->next);
}

static void writeback_of_replaced_entry_is_none(struct kunit *test)
{
	struct dax_test_locked l;

	dax_test_lock_dirty(test, &l);
	dax_test_queue(test, &l);
	KUNIT_EXPECT_TRUE(test, dax_test_replace(&l, dax_test_entry(test, 1, 0),
						 DAX_INSERT_DIRTY | DAX_INSERT_COW));
	dax_test_unlock_queue(test, &l);
	KUNIT_EXPECT_EQ(test, l.writeback->ret, 0);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(l.inode, 1));
}

static void writeback_of_removed_entry_is_none(struct kunit *test)
{
	struct dax_test_locked l;
	struct dax_test_task *t;

	dax_test_lock_dirty(test, &l);
	t = dax_test_start(test, task_truncate, l.inode, 1, 0);
	dax_test_expect_sleeps(test, t);
	dax_test_queue(test, &l);
	dax_test_unlock_queue(test, &l);
	dax_test_join(test, t);
	KUNIT_EXPECT_EQ(test, l.writeback->ret, 0);
	KUNIT_EXPECT_EQ(test, dax_test_used_pages(1), 0);
}

static void writeback_done_by_another_is_none(struct kunit *test)
{
	struct dax_test_locked l;
	struct xarray *xa;

	dax_test_lock_dirty(test, &l);
	xa = &l.inode->i_data.i_pages;
	dax_test_queue(test, &l);
	KUNIT_EXPECT_TRUE(test, dax_test_is_towrite(l.inode, 1));
	xa_lock_irq(xa);
	__xa_clear_mark(xa, 1, PAGECACHE_TAG_TOWRITE);
	xa_unlock_irq(xa);
	dax_test_unlock_queue(test, &l);
	KUNIT_EXPECT_EQ(test, l.writeback->ret, 0);
	KUNIT_EXPECT_TRUE(test, dax_test_is_dirty(l.inode, 1));
}

/* The same pfn, without being a page of the file. */
static void writeback_of_hole_fails(struct kunit *test)
{
	struct dax_test_locked l;
	unsigned long pfn;

	dax_test_requires_warnings(test);
	dax_test_lock_dirty(test, &l);
	dax_test_queue(test, &l);
	pfn = dax_to_pfn(l.entry);
	KUNIT_EXPECT_TRUE(test, dax_test_replace(&l, dax_make_zero_entry(pfn, 0),
						 DAX_INSERT_COW));
	dax_test_unlock_queue(test, &l);
	KUNIT_EXPECT_EQ(test, l.writeback->ret, -EIO);
	KUNIT_EXPECT_EQ(test, filemap_check_errors(&l.inode->i_data), -EIO);
}

static struct kunit_case dax_writeback_cases[] = {
	KUNIT_CASE_PARAM(writeback_clears_marks, size_gen_params),
	KUNIT_CASE(writeback_outside_of_range_is_none),
	KUNIT_CASE(writeback_without_sync_is_none),
	KUNIT_CASE(writeback_of_small_blocks_fails),
	KUNIT_CASE_SLOW(writeback_of_many_entries_is_complete),
	KUNIT_CASE_PARAM(writeback_of_locked_entry_waits, size_gen_params),
	KUNIT_CASE(writeback_of_replaced_entry_is_none),
	KUNIT_CASE(writeback_of_removed_entry_is_none),
	KUNIT_CASE(writeback_done_by_another_is_none),
	KUNIT_CASE(writeback_of_hole_fails),
	{}
};

static struct kunit_suite dax_writeback_suite = {
	.name		= "dax_writeback",
	.suite_init	= dax_test_suite_init,
	.suite_exit	= dax_test_suite_exit,
	.init		= dax_test_init,
	.exit		= dax_test_exit,
	.test_cases	= dax_writeback_cases,
};

kunit_test_suites(&dax_entry_suite, &dax_association_suite, &dax_layout_suite,
		  &dax_writeback_suite);

MODULE_DESCRIPTION("KUnit tests for the entries of DAX files");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DAX);
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
