// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entries that track the pages of DAX files in i_pages
 * Copyright (c) 2013-2014 Intel Corporation
 * Author: Matthew Wilcox <matthew.r.wilcox@intel.com>
 * Author: Ross Zwisler <ross.zwisler@linux.intel.com>
 */

#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/dax-mapping.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/rcupdate_wait.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/writeback.h>
#include <linux/xarray.h>

#include "dax-private.h"

#define CREATE_TRACE_POINTS
#include <trace/events/fs_dax.h>

/* We choose 4096 entries - same as per-zone page wait tables */
#define DAX_WAIT_TABLE_BITS 12
#define DAX_WAIT_TABLE_ENTRIES BIT(DAX_WAIT_TABLE_BITS)

static wait_queue_head_t wait_table[DAX_WAIT_TABLE_ENTRIES];

#define DAX_ASSOCIATION_LOCK_BITS 6

static spinlock_t association_locks[1 << DAX_ASSOCIATION_LOCK_BITS];

static int __init init_dax_wait_table(void)
{
	int i;

	for (i = 0; i < DAX_WAIT_TABLE_ENTRIES; i++)
		init_waitqueue_head(wait_table + i);
	for (i = 0; i < 1 << DAX_ASSOCIATION_LOCK_BITS; i++)
		spin_lock_init(association_locks + i);
	return 0;
}
fs_initcall(init_dax_wait_table);

/*
 * DAX pagecache entries use XArray value entries so they can't be mistaken
 * for pages.  We use one bit for locking, two bits for the entry size (PMD or
 * PUD) and two more to tell us if the entry is a zero page or an empty entry
 * that is just used for locking.  In total five special bits.
 *
 * If neither size bit is set the entry has size PAGE_SIZE, and if the ZERO_PAGE
 * and EMPTY bits aren't set the entry is a normal DAX entry with a filesystem
 * block allocation.
 */
#define DAX_SHIFT	(5)
#define DAX_LOCKED	BIT(0)
#define DAX_PMD		BIT(1)
#define DAX_PUD		BIT(2)
#define DAX_ZERO_PAGE	BIT(3)
#define DAX_EMPTY	BIT(4)

/*
 * What these leave of a value must hold the pfn of any page that an entry can
 * have. That is one of ZONE_DEVICE, which no 32-bit kernel has.
 */
#ifdef CONFIG_ZONE_DEVICE
#ifndef MAX_POSSIBLE_PHYSMEM_BITS
#define MAX_POSSIBLE_PHYSMEM_BITS MAX_PHYSMEM_BITS
#endif
static_assert(BITS_PER_XA_VALUE - DAX_SHIFT >=
	      MAX_POSSIBLE_PHYSMEM_BITS - PAGE_SHIFT);
#endif

VISIBLE_IF_KUNIT unsigned long dax_to_pfn(void *entry)
{
	return xa_to_value(entry) >> DAX_SHIFT;
}
EXPORT_SYMBOL_IF_KUNIT(dax_to_pfn);

static void *dax_encode_entry(unsigned long pfn, unsigned int order,
			      unsigned long flags)
{
	if (order == PMD_ORDER)
		flags |= DAX_PMD;
	else if (order == PUD_ORDER)
		flags |= DAX_PUD;
	else
		WARN_ON_ONCE(order);
	return xa_mk_value(flags | pfn << DAX_SHIFT);
}

/**
 * dax_make_entry - encode an entry that has pages
 * @pfn: pfn of the first page, aligned to @order
 * @order: order of the entry: 0, PMD_ORDER or PUD_ORDER
 *
 * Context: Any.
 * Return: The entry, not locked.
 */
void *dax_make_entry(unsigned long pfn, unsigned int order)
{
	return dax_encode_entry(pfn, order, 0);
}
EXPORT_SYMBOL_NS_GPL(dax_make_entry, DAX);

/**
 * dax_make_zero_entry - encode an entry of a hole that is mapped for reading
 * @pfn: pfn of the first zero page; the entry does not own it
 * @order: order of the entry, 0 or PMD_ORDER
 *
 * Context: Any.
 * Return: The entry, not locked.
 */
void *dax_make_zero_entry(unsigned long pfn, unsigned int order)
{
	return dax_encode_entry(pfn, order, DAX_ZERO_PAGE);
}
EXPORT_SYMBOL_IF_KUNIT(dax_make_zero_entry);

static void *dax_make_empty_entry(unsigned int order)
{
	return dax_encode_entry(0, order, DAX_EMPTY);
}

VISIBLE_IF_KUNIT bool dax_is_locked(void *entry)
{
	return xa_to_value(entry) & DAX_LOCKED;
}
EXPORT_SYMBOL_IF_KUNIT(dax_is_locked);

VISIBLE_IF_KUNIT unsigned int dax_entry_order(void *entry)
{
	if (xa_to_value(entry) & DAX_PMD)
		return PMD_ORDER;
	if (xa_to_value(entry) & DAX_PUD)
		return PUD_ORDER;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dax_entry_order);

static unsigned long dax_entry_nr_pages(void *entry)
{
	return 1UL << dax_entry_order(entry);
}

/* The first index of @entry, of which @index is one. */
static pgoff_t dax_entry_start(void *entry, pgoff_t index)
{
	return index & ~(dax_entry_nr_pages(entry) - 1);
}

VISIBLE_IF_KUNIT int dax_is_zero_entry(void *entry)
{
	return xa_to_value(entry) & DAX_ZERO_PAGE;
}
EXPORT_SYMBOL_IF_KUNIT(dax_is_zero_entry);

VISIBLE_IF_KUNIT int dax_is_empty_entry(void *entry)
{
	return xa_to_value(entry) & DAX_EMPTY;
}
EXPORT_SYMBOL_IF_KUNIT(dax_is_empty_entry);

static bool dax_has_pages(void *entry)
{
	return !dax_is_zero_entry(entry) && !dax_is_empty_entry(entry);
}

/*
 * true if the entry that was found is of a smaller order than the entry
 * we were looking for
 */
static bool dax_is_conflict(void *entry)
{
	return entry == XA_RETRY_ENTRY;
}

/* See dax_is_fault(). */
static void *dax_fault_to_entry(vm_fault_t fault)
{
	return xa_mk_internal((__force unsigned long)fault);
}

/*
 * DAX page cache entry locking
 */
struct dax_entry_key {
	struct xarray *xa;
	pgoff_t entry_start;
};

struct dax_entry_wait {
	wait_queue_entry_t wait;
	struct dax_entry_key key;
};

/**
 * enum dax_wake_mode: waitqueue wakeup behaviour
 * @WAKE_ALL: wake all waiters in the waitqueue
 * @WAKE_NEXT: wake only the first waiter in the waitqueue
 */
enum dax_wake_mode {
	WAKE_ALL,
	WAKE_NEXT,
};

static wait_queue_head_t *
dax_entry_waitqueue(struct xa_state *xas, void *entry,
		    struct dax_entry_key *key)
{
	unsigned long hash;
	unsigned long index;

	/* All offsets in the range of an entry map to the same bit lock. */
	index = dax_entry_start(entry, xas->xa_index);
	key->xa = xas->xa;
	key->entry_start = index;

	hash = hash_long((unsigned long)xas->xa ^ index, DAX_WAIT_TABLE_BITS);
	return wait_table + hash;
}

static int dax_wake_entry_func(wait_queue_entry_t *wait, unsigned int mode,
			       int sync, void *keyp)
{
	struct dax_entry_key *key = keyp;
	struct dax_entry_wait *ewait =
		container_of(wait, struct dax_entry_wait, wait);

	if (key->xa != ewait->key.xa ||
	    key->entry_start != ewait->key.entry_start)
		return 0;
	return autoremove_wake_function(wait, mode, sync, NULL);
}

/*
 * @entry may no longer be the entry at the index in the mapping.
 * The important information it's conveying is the order that the entry at
 * this index used to have.
 */
static void dax_wake_entry(struct xa_state *xas, void *entry,
			   enum dax_wake_mode mode)
{
	struct dax_entry_key key;
	wait_queue_head_t *wq;

	wq = dax_entry_waitqueue(xas, entry, &key);

	/*
	 * Checking for locked entry and prepare_to_wait_exclusive() happens
	 * under the i_pages lock, ditto for entry handling in our callers.
	 * So at this point all tasks that could have seen our entry locked
	 * must be in the waitqueue and the following check will see them.
	 */
	if (waitqueue_active(wq))
		__wake_up(wq, TASK_NORMAL, mode == WAKE_ALL ? 0 : 1, &key);
}

/*
 * Look up entry in page cache, wait for it to become unlocked if it
 * is a DAX entry and return it.  The caller must subsequently call
 * dax_put_unlocked_entry() if it did not lock the entry or dax_unlock_entry()
 * if it did.  The entry returned may have a larger order than @order.
 * If @order is larger than the order of the entry found in i_pages, this
 * function returns a dax_is_conflict entry.
 *
 * Must be called with the i_pages lock held.
 */
static void *dax_get_unlocked_entry(struct xa_state *xas, unsigned int order)
	__must_hold(&xas->xa->xa_lock)
{
	void *entry;
	struct dax_entry_wait ewait;
	wait_queue_head_t *wq;

	init_wait(&ewait.wait);
	ewait.wait.func = dax_wake_entry_func;

	for (;;) {
		entry = xas_find_conflict(xas);
		if (!entry || WARN_ON_ONCE(!xa_is_value(entry)))
			return entry;
		if (dax_entry_order(entry) < order)
			return XA_RETRY_ENTRY;
		if (!dax_is_locked(entry))
			return entry;

		wq = dax_entry_waitqueue(xas, entry, &ewait.key);
		prepare_to_wait_exclusive(wq, &ewait.wait,
					  TASK_UNINTERRUPTIBLE);
		xas_unlock_irq(xas);
		xas_reset(xas);
		schedule();
		finish_wait(wq, &ewait.wait);
		xas_lock_irq(xas);
	}
}

/*
 * As dax_get_unlocked_entry(), for the entry that a walk has come to.
 * The walk can go on from where that leaves @xas.
 */
static void *dax_walk_unlocked_entry(struct xa_state *xas)
	__must_hold(&xas->xa->xa_lock)
{
	/* In a walk xas_find_conflict() looks at what comes next only. */
	xas_reset(xas);
	return dax_get_unlocked_entry(xas, 0);
}

/*
 * The only thing keeping the address space around is the i_pages lock
 * (it's cycled in clear_inode() after removing the entries from i_pages)
 * After we call xas_unlock_irq(), we cannot touch xas->xa.
 */
static void dax_wait_entry_unlocked(struct xa_state *xas, void *entry)
	__releases(&xas->xa->xa_lock)
{
	struct dax_entry_wait ewait;
	wait_queue_head_t *wq;

	init_wait(&ewait.wait);
	ewait.wait.func = dax_wake_entry_func;

	wq = dax_entry_waitqueue(xas, entry, &ewait.key);
	/*
	 * Unlike dax_get_unlocked_entry() there is no guarantee that this
	 * path ever successfully retrieves an unlocked entry before an
	 * inode dies. Perform a non-exclusive wait in case this path
	 * never successfully performs its own wake up.
	 */
	prepare_to_wait(wq, &ewait.wait, TASK_UNINTERRUPTIBLE);
	xas_unlock_irq(xas);
	schedule();
	finish_wait(wq, &ewait.wait);
}

static void dax_put_unlocked_entry(struct xa_state *xas, void *entry,
				   enum dax_wake_mode mode)
{
	if (entry && !dax_is_conflict(entry))
		dax_wake_entry(xas, entry, mode);
}

/*
 * In a walk over i_pages, let others have the lock and the CPU now and then.
 * The walk goes on with the index that it is at: if its entry has been removed,
 * and the node that held it, xas_pause() would skip what follows.
 */
static void dax_pause_walk(struct xa_state *xas, unsigned int *scanned)
	__must_hold(&xas->xa->xa_lock)
{
	if (++*scanned < XA_CHECK_SCHED)
		return;

	*scanned = 0;
	xas_reset(xas);
	xas_unlock_irq(xas);
	cond_resched();
	xas_lock_irq(xas);
}

/**
 * dax_unlock_entry - unlock an entry and wake who waits for it next
 * @xas: state at an index of the entry
 * @entry: what is to be in the tree, not locked: the entry that was locked, or
 *	the one that dax_insert_entry() put in its place
 *
 * We used the xa_state to get the entry, but then we locked the entry and
 * dropped the xa_lock, so we know the xa_state is stale and must be reset
 * before use.
 *
 * Context: Any context in which interrupts are on, takes the i_pages lock. The
 * caller has locked the entry.
 */
void dax_unlock_entry(struct xa_state *xas, void *entry)
{
	xas_reset(xas);
	xas_lock_irq(xas);
	/* Whoever does not hold the lock does not know what is there now. */
	if (!WARN_ON_ONCE(dax_is_locked(entry) ||
			  !dax_is_locked(xas_load(xas))))
		xas_store(xas, entry);
	xas_unlock_irq(xas);
	dax_wake_entry(xas, entry, WAKE_NEXT);
}
EXPORT_SYMBOL_NS_GPL(dax_unlock_entry, DAX);

/*
 * Return: The entry stored at this location before it was locked.
 */
static void *dax_lock_entry(struct xa_state *xas, void *entry)
{
	unsigned long v = xa_to_value(entry);

	return xas_store(xas, xa_mk_value(v | DAX_LOCKED));
}

/* Each entry that has pages has one folio, of its order. */
static struct folio *dax_entry_folio(void *entry)
{
	return pfn_folio(dax_to_pfn(entry));
}

/*
 * A folio that belongs to one file says where, in ->mapping and ->index. One
 * that several files have by reflink belongs to none: ->mapping is NULL, and
 * ->share, in the place of ->index, counts the entries it is associated with.
 * With both 0 it is associated with no entry.
 */
static bool dax_folio_is_shared(const struct folio *folio)
{
	return !folio->mapping && folio->page.share;
}

static void dax_folio_share_get(struct folio *folio)
{
	/* The file that had the folio to itself becomes one of many. */
	if (folio->mapping) {
		folio->page.share = 1;
		WRITE_ONCE(folio->mapping, NULL);
	}
	folio->page.share++;
}

/*
 * Files that share a folio have an i_pages lock each, none of which keeps the
 * others from associating or disassociating the folio. This lock does, and
 * nests inside of them. PTE and PMD entries that overlap in pfns hash to the
 * same lock; PUD entries are of device-dax, where one file has all pages.
 */
static spinlock_t *dax_association_lock(unsigned long pfn)
{
	unsigned long block = pfn >> (PMD_SHIFT - PAGE_SHIFT);

	return &association_locks[hash_long(block, DAX_ASSOCIATION_LOCK_BITS)];
}

/* Does an entry other than the one at @index of @mapping have the folio? */
static bool dax_folio_is_taken(const struct folio *folio,
			       const struct address_space *mapping,
			       pgoff_t index)
{
	if (folio->mapping == mapping)
		return folio->index != index;
	return folio->mapping || dax_folio_is_shared(folio);
}

/*
 * Give the pages of @entry, which is about to be put at @index of @mapping, to
 * that file, as one folio. With @shared other files have the page as well.
 *
 * A filesystem may say that an extent is not shared, and then share it or free
 * it before its block is associated. A page of two entries is shared then, so
 * that neither entry takes the association of the other.
 *
 * Return: false, with nothing changed, if @entry is larger than a page and one
 * of its pages is in use or another entry's; or if its page is part of a larger
 * folio that is.
 */
static bool dax_associate_entry(void *entry, struct address_space *mapping,
				pgoff_t index, bool shared)
{
	spinlock_t *lock = dax_association_lock(dax_to_pfn(entry));
	unsigned int order = dax_entry_order(entry);
	bool associated = false;
	struct folio *folio;

	if (!dax_has_pages(entry))
		return true;

	index = dax_entry_start(entry, index);
	spin_lock(lock);
	folio = dax_entry_folio(entry);
	/* It was in use when the entry went that it was joined for. */
	if (folio_order(folio) > order && !folio->mapping &&
	    dax_folio_is_idle(folio)) {
		zone_device_split_folio(folio);
		folio = dax_entry_folio(entry);
	}
	shared = shared || dax_folio_is_taken(folio, mapping, index);
	if (order && (shared || !dax_folio_is_idle(folio)))
		goto unlock;
	if (folio_order(folio) != order && !zone_device_join_folio(folio, order))
		goto unlock;

	if (shared) {
		dax_folio_share_get(folio);
	} else {
		WRITE_ONCE(folio->mapping, mapping);
		folio->index = index;
	}
	trace_dax_associate(mapping, dax_to_pfn(entry), order,
			    shared ? folio->page.share : 0);
	associated = true;
unlock:
	spin_unlock(lock);
	return associated;
}

/*
 * Take the pages of @entry, which is about to go, from @mapping. A page that
 * other entries have, too, stays theirs, and so does the wait for its users.
 *
 * Return: false if @entry was the last one, and its pages are in use: their
 * blocks may go to another file. Nothing is changed then, unless by @force.
 */
static bool dax_disassociate_entry(void *entry, struct address_space *mapping,
				   bool force)
{
	spinlock_t *lock = dax_association_lock(dax_to_pfn(entry));
	struct folio *folio;
	bool idle = true;

	if (!dax_has_pages(entry))
		return true;

	spin_lock(lock);
	folio = dax_entry_folio(entry);
	if (dax_folio_is_shared(folio) && folio->page.share > 1) {
		folio->page.share--;
		trace_dax_disassociate(mapping, dax_to_pfn(entry), 0,
				       folio->page.share);
		goto unlock;
	}

	WARN_ON_ONCE(folio->mapping && folio->mapping != mapping);
	idle = dax_folio_is_idle(folio);
	if (idle || force) {
		WRITE_ONCE(folio->mapping, NULL);
		folio->index = 0;
		/* Left by those who mapped or pinned it; here they say nothing. */
		folio_clear_dirty(folio);
		folio_clear_referenced(folio);
		trace_dax_disassociate(mapping, dax_to_pfn(entry),
				       dax_entry_order(entry), 0);
	}
	if (idle) {
		/* What maps it has a reference for each of its page tables. */
		VM_WARN_ON_ONCE_FOLIO(folio_mapped(folio), folio);
		zone_device_split_folio(folio);
	}
unlock:
	spin_unlock(lock);
	return idle;
}

static void dax_erase_entry(struct xa_state *xas, struct address_space *mapping,
			    void *entry)
{
	xas_store(xas, NULL);
	mapping->nrpages -= dax_entry_nr_pages(entry);
	trace_dax_remove_entry(mapping->host,
			       dax_entry_start(entry, xas->xa_index),
			       dax_entry_order(entry));
}

/* Take @entry out of the file that it was found in with @xas. */
static void dax_remove_entry(struct xa_state *xas,
			     struct address_space *mapping, void *entry)
{
	WARN_ON_ONCE(!dax_disassociate_entry(entry, mapping, true));
	dax_erase_entry(xas, mapping, entry);
}

/*
 * Take @entry out of the file if nobody has to wait for its page here. A page
 * that other entries have, too, stays theirs, and the last of them waits for its
 * users. An idle one goes as well: a file that comes to share it later could
 * leave it to this file otherwise, which has looked for users by then. No block
 * of a large or dirty entry is shared.
 */
static bool dax_leave_entry(struct xa_state *xas, struct address_space *mapping,
			    void *entry)
{
	if (!dax_has_pages(entry) || dax_entry_order(entry) ||
	    xas_get_mark(xas, PAGECACHE_TAG_DIRTY) ||
	    !dax_disassociate_entry(entry, mapping, false))
		return false;

	dax_erase_entry(xas, mapping, entry);
	return true;
}

/* Zap what maps @entry, but for private copies. May sleep. */
static void dax_unmap_entry(struct address_space *mapping, void *entry,
			    pgoff_t index)
{
	unmap_mapping_pages(mapping, dax_entry_start(entry, index),
			    dax_entry_nr_pages(entry), false);
}

/* Remove @entry, which has no pages, for one of @order to take its place. */
static void dax_downgrade_entry(struct xa_state *xas,
				struct address_space *mapping, void *entry,
				unsigned int order)
	__must_hold(&xas->xa->xa_lock)
{
	/* Make sure 'entry' remains valid while we drop the i_pages lock. */
	dax_lock_entry(xas, entry);

	/*
	 * Besides huge zero pages the only other thing that gets downgraded
	 * are empty entries which don't need to be unmapped.
	 */
	if (dax_is_zero_entry(entry)) {
		xas_unlock_irq(xas);
		dax_unmap_entry(mapping, entry, xas->xa_index);
		xas_reset(xas);
		xas_lock_irq(xas);
	}

	dax_remove_entry(xas, mapping, entry);
	dax_wake_entry(xas, entry, WAKE_ALL);
	/* Changing an entry of a higher order made @xas forget its own. */
	xas_set_order(xas, xas->xa_index, order);
}

static struct folio *dax_busy_folio(void *entry)
{
	if (!dax_has_pages(entry) || dax_folio_is_idle(dax_entry_folio(entry)))
		return NULL;
	return dax_entry_folio(entry);
}

/*
 * Get the folio of a page that the caller has the locked entry of, or that is
 * on a device with folios of one order only.
 *
 * Return: NULL if the device is going away. A folio that is still pinned must
 * not be mapped again then, see dax_unmap_device().
 */
static struct folio *dax_get_folio(unsigned long pfn)
{
	spinlock_t *lock = dax_association_lock(pfn);
	struct folio *folio = pfn_folio(pfn);

	if (folio_is_zone_device(folio) &&
	    percpu_ref_is_dying(&page_pgmap(&folio->page)->ref))
		return NULL;
	if (folio_try_get(folio))
		return folio;

	/* Files that share the folio come here at the same time. */
	spin_lock_irq(lock);
	if (!folio_try_get(folio) && !zone_device_request_folio(folio))
		folio = NULL;
	spin_unlock_irq(lock);
	return folio;
}

/**
 * dax_map_pfn - map device memory for a page fault
 * @vmf: the fault
 * @pfn: pfn of the first page to map, aligned to @order
 * @order: order of what is to be mapped: 0, PMD_ORDER or PUD_ORDER; the folio
 *	is of that order, or larger if this is 0
 * @write: map it writable
 *
 * What maps the folio holds a reference on it. The entry in the file does not:
 * without users the folio is idle, and has none.
 *
 * Context: Process context, may sleep. The entry that has @pfn is locked, or the
 * device has folios of one order only. dax_read_lock() has been held since @pfn
 * was looked up, so that a device that goes away finds what was mapped.
 * Return: VM_FAULT_NOPAGE when something is mapped; VM_FAULT_OOM;
 * VM_FAULT_SIGBUS if the device is going away, or if the vma is VM_MIXEDMAP or
 * VM_PFNMAP; VM_FAULT_FALLBACK if the kernel does not map @order.
 */
vm_fault_t dax_map_pfn(struct vm_fault *vmf, unsigned long pfn,
		       unsigned int order, bool write)
{
	vm_fault_t ret = VM_FAULT_FALLBACK;
	struct folio *folio = NULL;

	/* What is unmapped from these does not always give back a reference. */
	if (!WARN_ON_ONCE(vmf->vma->vm_flags & (VM_MIXEDMAP | VM_PFNMAP)))
		folio = dax_get_folio(pfn);
	if (!folio) {
		trace_dax_map_failed(vmf, pfn, order, VM_FAULT_SIGBUS);
		return VM_FAULT_SIGBUS;
	}

	if (!order)
		ret = vmf_insert_folio_pte(vmf, pfn_to_page(pfn), write);
	else if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) && order == PMD_ORDER)
		ret = vmf_insert_folio_pmd(vmf, folio, write);
	else if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
		 IS_ENABLED(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD) &&
		 order == PUD_ORDER)
		ret = vmf_insert_folio_pud(vmf, folio, write);
	if (ret != VM_FAULT_NOPAGE)
		trace_dax_map_failed(vmf, pfn, order, ret);
	/* See dax_wait_layout(), which tests for this after it is on the queue. */
	smp_mb();
	wake_up_var(folio);
	folio_put(folio);
	return ret;
}
EXPORT_SYMBOL_NS_GPL(dax_map_pfn, DAX);

/*
 * The file that has @page to itself, or NULL; @index is where in the file.
 * Nothing keeps the answer true but the i_pages lock of that file, as long as
 * no other file comes to share the page.
 */
static struct address_space *dax_page_mapping(struct page *page, pgoff_t *index)
{
	spinlock_t *lock = dax_association_lock(page_to_pfn(page));
	struct address_space *mapping;
	struct folio *folio;
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	folio = page_folio(page);
	mapping = folio->mapping;
	*index = folio->index + folio_page_idx(folio, page);
	spin_unlock_irqrestore(lock, flags);
	return mapping;
}

/**
 * dax_lock_page - lock the entry that has a page of device memory
 * @page: the page
 * @mappingp: set to the file that has it
 * @indexp: set to the index of the page in the file
 *
 * While the entry is locked, @page stays part of the same folio and of the same
 * file, though another file may come to share it.
 *
 * Context: Process context, may sleep, takes the i_pages lock. The device, and
 * so @page, cannot go away.
 * Return: A cookie to pass to dax_unlock_mapping_entry(), or 0 if no entry has
 * the page to itself.
 */
dax_entry_t dax_lock_page(struct page *page, struct address_space **mappingp,
			  pgoff_t *indexp)
{
	XA_STATE(xas, NULL, 0);
	void *entry;

	/* Ensure that the mapping isn't freed while we look at it */
	rcu_read_lock();
	for (;;) {
		struct address_space *mapping = dax_page_mapping(page, indexp);

		*mappingp = mapping;
		entry = NULL;
		if (!mapping || !dax_mapping(mapping))
			break;

		xas.xa = &mapping->i_pages;
		xas_lock_irq(&xas);
		if (mapping != dax_page_mapping(page, indexp)) {
			xas_unlock_irq(&xas);
			continue;
		}
		xas_set(&xas, *indexp);
		entry = xas_load(&xas);
		if (dax_is_locked(entry)) {
			rcu_read_unlock();
			dax_wait_entry_unlocked(&xas, entry);
			rcu_read_lock();
			continue;
		}
		dax_lock_entry(&xas, entry);
		xas_unlock_irq(&xas);
		break;
	}
	rcu_read_unlock();
	return (dax_entry_t)entry;
}
EXPORT_SYMBOL_IF_KUNIT(dax_lock_page);

/**
 * dax_lock_mapping_entry - Lock the DAX entry corresponding to a mapping
 * @mapping: the file's mapping whose entry we want to lock
 * @index: the offset within this file
 * @page: set to the page at @index; not set if the entry has none
 *
 * Context: Process context, may sleep, takes the i_pages lock. The inode cannot
 * go away.
 * Return: A cookie to pass to dax_unlock_mapping_entry(), which is ~0UL if there
 * is no page at @index and nothing is locked; or 0 if this is not a DAX file.
 */
dax_entry_t dax_lock_mapping_entry(struct address_space *mapping, pgoff_t index,
				   struct page **page)
{
	XA_STATE(xas, NULL, 0);
	void *entry;

	rcu_read_lock();
	for (;;) {
		entry = NULL;
		if (!dax_mapping(mapping))
			break;

		xas.xa = &mapping->i_pages;
		xas_lock_irq(&xas);
		xas_set(&xas, index);
		entry = xas_load(&xas);
		if (dax_is_locked(entry)) {
			rcu_read_unlock();
			dax_wait_entry_unlocked(&xas, entry);
			rcu_read_lock();
			continue;
		}
		if (!entry || !dax_has_pages(entry)) {
			/*
			 * Because we are looking for entry from file's mapping
			 * and index, so the entry may not be inserted for now,
			 * or even a zero/empty entry.  We don't think this is
			 * an error case.  So, return a special value and do
			 * not output @page.
			 */
			entry = (void *)~0UL;
		} else {
			*page = pfn_to_page(dax_to_pfn(entry) + index -
					    dax_entry_start(entry, index));
			dax_lock_entry(&xas, entry);
		}
		xas_unlock_irq(&xas);
		break;
	}
	rcu_read_unlock();
	return (dax_entry_t)entry;
}
EXPORT_SYMBOL_IF_KUNIT(dax_lock_mapping_entry);

/**
 * dax_unlock_mapping_entry - unlock what dax_lock_mapping_entry() locked
 * @mapping: the file's mapping
 * @index: the offset within this file
 * @cookie: what dax_lock_mapping_entry() or dax_lock_page() returned for it,
 *	not 0
 *
 * Context: Any context in which interrupts are on.
 */
void dax_unlock_mapping_entry(struct address_space *mapping, pgoff_t index,
			      dax_entry_t cookie)
{
	XA_STATE(xas, &mapping->i_pages, index);

	if (cookie == ~0UL)
		return;

	dax_unlock_entry(&xas, (void *)cookie);
}
EXPORT_SYMBOL_IF_KUNIT(dax_unlock_mapping_entry);

/**
 * dax_grab_entry - find the entry of a page fault, or add one, and lock it
 * @xas: state at the index of the fault, rounded down to @order
 * @mapping: the file
 * @order: order of the entry that is wanted; one that is found may be larger
 *
 * An entry that is added is empty: it has no pages until dax_insert_entry().
 *
 * We always favor small entries over large ones. There isn't a flow where we
 * evict PTE entries in order to 'upgrade' them to a PMD entry, or either to a
 * PUD entry.  A larger entry is refused if there are any smaller ones within
 * its range, and asking for a smaller one will cause an existing larger entry
 * to be unmapped and removed.  This happens for both zero pages and empty
 * entries.
 *
 * The exception to this downgrade path is for large entries that have
 * real storage backing them.  We will leave these in the tree, and PTE writes
 * will simply dirty the entire entry.
 *
 * Note: Unlike filemap_fault() we don't honor FAULT_FLAG_RETRY flags. For
 * persistent memory the benefit is doubtful. We can add that later if we can
 * show it helps.
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * What keeps truncate out is held, usually mapping->invalidate_lock shared.
 * Return: The entry, to be unlocked with dax_unlock_entry(). Or, for which
 * dax_is_fault() is true and dax_entry_to_fault() gives the code:
 * VM_FAULT_FALLBACK if there are smaller entries in the range, VM_FAULT_OOM, or
 * VM_FAULT_SIGBUS if what is found is not an entry.
 */
void *dax_grab_entry(struct xa_state *xas, struct address_space *mapping,
		     unsigned int order)
{
	void *entry;

retry:
	xas_lock_irq(xas);
	entry = dax_get_unlocked_entry(xas, order);

	if (entry) {
		if (dax_is_conflict(entry))
			goto fallback;
		if (!xa_is_value(entry)) {
			xas_set_err(xas, -EIO);
			goto out_unlock;
		}
		if (dax_entry_order(entry) > order && !dax_has_pages(entry)) {
			dax_downgrade_entry(xas, mapping, entry, order);
			entry = NULL;
		}
	}

	if (entry) {
		dax_lock_entry(xas, entry);
	} else {
		entry = dax_make_empty_entry(order);
		dax_lock_entry(xas, entry);
		if (xas_error(xas))
			goto out_unlock;
		mapping->nrpages += dax_entry_nr_pages(entry);
		trace_dax_add_entry(mapping->host, xas->xa_index, order);
	}

out_unlock:
	xas_unlock_irq(xas);
	if (xas_nomem(xas, mapping_gfp_mask(mapping) & ~__GFP_HIGHMEM))
		goto retry;
	if (xas->xa_node == XA_ERROR(-ENOMEM))
		return dax_fault_to_entry(VM_FAULT_OOM);
	if (xas_error(xas))
		return dax_fault_to_entry(VM_FAULT_SIGBUS);
	return entry;
fallback:
	xas_unlock_irq(xas);
	return dax_fault_to_entry(VM_FAULT_FALLBACK);
}
EXPORT_SYMBOL_NS_GPL(dax_grab_entry, DAX);

/*
 * As dax_busy_folio(), for use without the i_pages lock or RCU: with a reference
 * on the device, so that the folio can be looked at until dax_release_folio().
 */
static struct folio *dax_hold_busy_folio(void *entry)
{
	struct folio *folio = dax_busy_folio(entry);

	/* What uses it has one, too. If there is none left, it has become idle. */
	if (folio && !percpu_ref_tryget(&page_pgmap(&folio->page)->ref))
		folio = NULL;
	return folio;
}

static void dax_release_folio(struct folio *folio)
{
	put_dev_pagemap(page_pgmap(&folio->page));
}

/*
 * Unmap a range of a file and find the first pinned folio in it, which the
 * caller has to release. See dax_layout_busy_folio().
 */
static struct folio *dax_hold_layout_folio(struct address_space *mapping,
					   loff_t start, loff_t end)
{
	void *entry;
	bool left;
	unsigned int scanned = 0;
	struct folio *folio = NULL;
	pgoff_t start_idx = start >> PAGE_SHIFT;
	pgoff_t end_idx;
	XA_STATE(xas, &mapping->i_pages, start_idx);

	if (!dax_mapping(mapping))
		return NULL;

	/* If end == LLONG_MAX, all pages from start to till end of file */
	if (end == LLONG_MAX)
		end_idx = ULONG_MAX;
	else
		end_idx = end >> PAGE_SHIFT;

	/*
	 * An entry that is removed goes as a whole, and with it the only way to
	 * find its pages. Neither end of the range may cut one in two. Orders
	 * do not change here, as the caller keeps faults out.
	 */
	start_idx &= ~0UL << xa_get_order(&mapping->i_pages, start_idx);
	end_idx |= ~(~0UL << xa_get_order(&mapping->i_pages, end_idx));
	xas_set(&xas, start_idx);

	/*
	 * If we race get_user_pages_fast() here either we'll see the
	 * elevated page count in the iteration and wait, or
	 * get_user_pages_fast() will see that the page it took a reference
	 * against is no longer mapped in the page tables and bail to the
	 * get_user_pages() slow path.  The slow path is protected by
	 * pte_lock(), pmd_lock() and pud_lock(). New references are not taken
	 * without holding those locks, and unmap_mapping_pages() will not zero
	 * the pte, pmd or pud without holding the respective lock, so we are
	 * guaranteed to either see new references or prevent new
	 * references from being established.
	 */
	unmap_mapping_pages(mapping, start_idx, end_idx - start_idx + 1, 0);

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, end_idx) {
		if (WARN_ON_ONCE(!xa_is_value(entry)))
			continue;
		if (unlikely(dax_is_locked(entry)))
			entry = dax_walk_unlocked_entry(&xas);
		left = entry && dax_leave_entry(&xas, mapping, entry);
		if (entry && !left)
			folio = dax_hold_busy_folio(entry);
		dax_put_unlocked_entry(&xas, entry,
				       left ? WAKE_ALL : WAKE_NEXT);
		if (folio)
			break;
		dax_pause_walk(&xas, &scanned);
	}
	xas_unlock_irq(&xas);
	return folio;
}

/**
 * dax_layout_busy_folio - find first pinned folio in a range of @mapping
 * @mapping: address space to scan for a folio that is not idle
 * @start: Starting offset. Page containing 'start' is included.
 * @end: End offset. Page containing 'end' is included. If 'end' is LLONG_MAX,
 *       pages from 'start' till the end of file are included.
 *
 * A filesystem uses this interface to determine if any page in the mapping
 * is busy, i.e. for DMA, or other get_user_pages() usages.
 *
 * It is expected that the filesystem is holding locks to block the
 * establishment of new mappings in this address_space. I.e. it expects
 * to be able to run unmap_mapping_range() and subsequently not race
 * mapping_mapped() becoming true.
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * The range is unmapped on return, and of the entries of single pages only those
 * are left that are dirty or pinned.
 * Return: The first pinned folio, not referenced, or NULL. It stays valid as
 * long as the device does.
 */
struct folio *dax_layout_busy_folio(struct address_space *mapping,
				    loff_t start, loff_t end)
{
	struct folio *folio = dax_hold_layout_folio(mapping, start, end);

	if (folio)
		dax_release_folio(folio);
	return folio;
}
EXPORT_SYMBOL_NS_GPL(dax_layout_busy_folio, DAX);

/* By hand, as the folio may be split or become a tail page at any time. */
static bool dax_folio_is_mapped(const struct folio *folio)
{
	if (test_bit(PG_head, &folio->page.flags))
		return atomic_read(&folio->_large_mapcount) >= 0;
	return atomic_read(&folio->_mapcount) >= 0;
}

/*
 * A pin may be dropped while the folio is mapped. Nobody hears of that: the
 * folio does not become idle, and stays mapped if nobody unmaps it. So whoever
 * maps it wakes us, and we unmap it again, until it is idle when we sleep.
 */
static int dax_wait_layout(struct inode *inode, loff_t start, loff_t end,
			   unsigned int state, void (*wait)(struct inode *inode))
{
	struct folio *folio;
	int error;

	while ((folio = dax_hold_layout_folio(inode->i_mapping, start, end))) {
		trace_dax_wait_layout(inode, folio_pfn(folio), 0);
		/* What maps the folio may be faster than we are. */
		if (signal_pending_state(state, current)) {
			error = -ERESTARTSYS;
		} else {
			cond_resched();
			error = ___wait_var_event(folio,
						  dax_folio_is_idle(folio) ||
						  dax_folio_is_mapped(folio),
						  state, 0, 0, wait(inode));
		}
		trace_dax_wait_layout_done(inode, folio_pfn(folio), error);
		dax_release_folio(folio);
		if (error)
			return error;
	}
	return 0;
}

/**
 * dax_break_layout - wait until no page in a range of a DAX file is pinned
 * @inode: the file
 * @start: offset in bytes of the range; the page that contains it belongs to it
 * @end: offset in bytes of the last byte of the range, likewise rounded to its
 *	page; LLONG_MAX for everything from @start on
 * @wait: drops the locks that keep page faults out, calls schedule() and takes
 *	these locks again
 *
 * A filesystem calls this before it frees, moves or shares blocks.  A pinned
 * page may be read or written at any time until it is unpinned, by a device or
 * from a pipe, whatever has become of the block behind it.
 *
 * The range is unmapped first.  As the caller keeps faults out, pins cannot
 * come back while the range is looked over, except after @wait dropped the
 * locks, which is why the range is looked over again then.
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * The locks that keep page faults out of @inode are held exclusively, most often
 * mapping->invalidate_lock.
 * Return: 0 with no page in the range pinned, or -ERESTARTSYS when a signal
 * ended the wait.  The locks are held either way.
 */
int dax_break_layout(struct inode *inode, loff_t start, loff_t end,
		     void (*wait)(struct inode *inode))
{
	return dax_wait_layout(inode, start, end, TASK_INTERRUPTIBLE, wait);
}
EXPORT_SYMBOL_NS_GPL(dax_break_layout, DAX);

static void dax_wait_unlocked(struct inode *inode)
{
	filemap_invalidate_unlock(inode->i_mapping);
	schedule();
	filemap_invalidate_lock(inode->i_mapping);
}

/*
 * The first pinned folio of a file that nothing maps, which the caller has to
 * release. See dax_mapping_pinned(). A large file has millions of entries: unless
 * @atomic let others have the CPU now and then.
 */
static struct folio *dax_pinned_folio(struct address_space *mapping,
				      bool atomic)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	struct folio *folio = NULL;
	void *entry;

	rcu_read_lock();
	xas_for_each(&xas, entry, ULONG_MAX) {
		if (xas_retry(&xas, entry))
			continue;
		/* A file that shares it may have it mapped, or its user be back. */
		if (dax_has_pages(entry) &&
		    !dax_folio_is_mapped(dax_entry_folio(entry)))
			folio = dax_hold_busy_folio(entry);
		if (folio)
			break;
		if (!atomic && need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	return folio;
}

static bool dax_any_pinned(struct address_space *mapping, bool atomic)
{
	struct folio *folio = dax_pinned_folio(mapping, atomic);

	if (folio)
		dax_release_folio(folio);
	return folio;
}

/**
 * dax_mapping_pinned - is a page of an unused DAX file pinned?
 * @mapping: the mapping of an inode without users, so that nothing maps its
 *	pages and its entries do not change
 *
 * Context: Process context, may sleep.
 * Return: true if a page is pinned, other than one that a file which shares it has
 * mapped: that one is left to the other file.
 */
bool dax_mapping_pinned(struct address_space *mapping)
{
	return dax_any_pinned(mapping, false);
}
EXPORT_SYMBOL_IF_KUNIT(dax_mapping_pinned);

/**
 * dax_mapping_pinned_atomic - dax_mapping_pinned() for callers with a spinlock
 * @mapping: the mapping of an inode without users
 *
 * Context: Any, does not sleep.
 * Return: true if a page is pinned.
 */
bool dax_mapping_pinned_atomic(struct address_space *mapping)
{
	return dax_any_pinned(mapping, true);
}

/**
 * dax_wait_unpinned - wait until no page of an unused DAX file is pinned
 * @inode: an inode that is about to be evicted
 * @state: task state to wait in, TASK_KILLABLE or TASK_IDLE
 *
 * Context: Process context, may sleep, takes mapping->invalidate_lock.
 * Return: 0 with no page pinned, or -ERESTARTSYS when a fatal signal ended the
 * wait. New pins can come from whoever looks up the inode, and from other files
 * that share a page.
 */
int dax_wait_unpinned(struct inode *inode, unsigned int state)
{
	int error;

	filemap_invalidate_lock(inode->i_mapping);
	error = dax_wait_layout(inode, 0, LLONG_MAX, state, dax_wait_unlocked);
	filemap_invalidate_unlock(inode->i_mapping);
	return error;
}
EXPORT_SYMBOL_IF_KUNIT(dax_wait_unpinned);

/**
 * dax_wait_busy - wait for the first page of a DAX file that is pinned
 * @mapping: the file
 * @state: task state to wait in, TASK_KILLABLE or TASK_IDLE
 *
 * It may come to be used again meanwhile, so nothing is unmapped, and the wait
 * is over when the page is mapped, too. Others may be pinned then.
 *
 * Context: Process context, may sleep for as long as user space likes.
 * Return: 0, or -ERESTARTSYS when a fatal signal ended the wait.
 */
int dax_wait_busy(struct address_space *mapping, unsigned int state)
{
	struct folio *folio = dax_pinned_folio(mapping, false);
	int error;

	if (!folio)
		return 0;
	trace_dax_wait_layout(mapping->host, folio_pfn(folio), 0);
	error = ___wait_var_event(folio, dax_folio_is_idle(folio) ||
				  dax_folio_is_mapped(folio),
				  state, 0, 0, schedule());
	trace_dax_wait_layout_done(mapping->host, folio_pfn(folio), error);
	dax_release_folio(folio);
	return error;
}
EXPORT_SYMBOL_IF_KUNIT(dax_wait_busy);

static struct folio *dax_hold_folio_at(struct address_space *mapping,
				       pgoff_t index)
{
	XA_STATE(xas, &mapping->i_pages, index);
	struct folio *folio = NULL;
	void *entry;

	xas_lock_irq(&xas);
	entry = dax_get_unlocked_entry(&xas, 0);
	if (entry)
		folio = dax_hold_busy_folio(entry);
	dax_put_unlocked_entry(&xas, entry, WAKE_NEXT);
	xas_unlock_irq(&xas);
	return folio;
}

/**
 * dax_make_way - remove what dax_insert_entry() could not replace
 * @mapping: the file
 * @index: index of the page fault, in pages; its entry is not locked
 *
 * Wait for a pin, but for a second at most: page faults hold locks that others
 * need, maybe to drop the pin. In between the fault is repeated. That gives the
 * locks of the filesystem back; and, if it is one of user space, mmap_lock, too,
 * and lets signals be handled.
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * What keeps truncate out is held shared.
 * Return: VM_FAULT_NOPAGE for the fault to be tried again, VM_FAULT_SIGBUS after
 * a fatal signal or if writing back failed.
 */
vm_fault_t dax_make_way(struct address_space *mapping, pgoff_t index)
{
	loff_t start = (loff_t)index << PAGE_SHIFT;
	struct folio *folio;

	if (filemap_fdatawrite_range(mapping, start, start + PAGE_SIZE - 1))
		return VM_FAULT_SIGBUS;
	if (!invalidate_inode_pages2_range(mapping, index, index))
		return VM_FAULT_NOPAGE;

	folio = dax_hold_folio_at(mapping, index);
	if (folio) {
		trace_dax_wait_layout(mapping->host, folio_pfn(folio), 0);
		wait_var_event_timeout(folio, dax_folio_is_idle(folio) ||
				       dax_folio_is_mapped(folio), HZ);
		trace_dax_wait_layout_done(mapping->host, folio_pfn(folio), 0);
		dax_release_folio(folio);
	}
	/* A fault in the kernel is repeated without a look at signals. */
	return fatal_signal_pending(current) ? VM_FAULT_SIGBUS :
					       VM_FAULT_NOPAGE;
}
EXPORT_SYMBOL_IF_KUNIT(dax_make_way);

/*
 * A folio in use may only be mapped, and not pinned: unmap it to tell. Page
 * faults wait for the lock meanwhile, and until the caller wakes them.
 */
static void dax_unmap_busy_entry(struct xa_state *xas,
				 struct address_space *mapping, void *entry)
	__must_hold(&xas->xa->xa_lock)
{
	if (!dax_busy_folio(entry))
		return;

	dax_lock_entry(xas, entry);
	xas_unlock_irq(xas);
	dax_unmap_entry(mapping, entry, xas->xa_index);
	xas_reset(xas);
	xas_lock_irq(xas);
	xas_store(xas, entry);
}

/**
 * dax_delete_mapping_entry - remove an entry whose blocks are about to be freed
 * @mapping: the file
 * @index: an index of the entry, in pages
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * The caller has found an entry at @index and keeps page faults out since.
 */
void dax_delete_mapping_entry(struct address_space *mapping, pgoff_t index)
{
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	xas_lock_irq(&xas);
	entry = dax_get_unlocked_entry(&xas, 0);

	/*
	 * This gets called from truncate / punch_hole path. As such, the caller
	 * must hold locks protecting against concurrent modifications of the
	 * page cache (usually fs-private i_mmap_sem for writing). The DAX entry
	 * that it has seen for this index is still there, with pages that
	 * nothing has pinned, unless their device has gone away meanwhile.
	 */
	if (entry && !WARN_ON_ONCE(!xa_is_value(entry))) {
		/* FUSE, told of a new size by its server, keeps no faults out. */
		dax_unmap_busy_entry(&xas, mapping, entry);
		dax_remove_entry(&xas, mapping, entry);
	}

	dax_put_unlocked_entry(&xas, entry, WAKE_ALL);
	xas_unlock_irq(&xas);
}

/**
 * dax_invalidate_mapping_entry_sync - remove an entry that is clean and not pinned
 * @mapping: the file
 * @index: an index of the entry, in pages
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * Return: 1 if an entry was removed, 0 if it is dirty or pinned, or if there is
 * none.
 */
int dax_invalidate_mapping_entry_sync(struct address_space *mapping,
				      pgoff_t index)
{
	XA_STATE(xas, &mapping->i_pages, index);
	int ret = 0;
	void *entry;

	xas_lock_irq(&xas);
	entry = dax_get_unlocked_entry(&xas, 0);
	if (!entry || WARN_ON_ONCE(!xa_is_value(entry)))
		goto out;
	if (xas_get_mark(&xas, PAGECACHE_TAG_DIRTY))
		goto out;
	dax_unmap_busy_entry(&xas, mapping, entry);
	if (dax_disassociate_entry(entry, mapping, false)) {
		dax_erase_entry(&xas, mapping, entry);
		ret = 1;
	}
out:
	dax_put_unlocked_entry(&xas, entry, WAKE_ALL);
	xas_unlock_irq(&xas);
	return ret;
}

/**
 * dax_remove_large_entries - have entries of one page only in a range of a file
 * @mapping: the file
 * @start: first index of the range, in pages
 * @end: last index of the range, in pages
 *
 * A filesystem shares blocks in entries of one page only, so that files never
 * disagree on the size of one. Page faults will add entries of a page.
 *
 * Context: Process context, may sleep, takes the i_pages lock. Page faults have
 * been kept out since dax_break_layout() and since the range was written back.
 */
void dax_remove_large_entries(struct address_space *mapping, pgoff_t start,
			      pgoff_t end)
{
	XA_STATE(xas, &mapping->i_pages, start);
	unsigned int scanned = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, end) {
		if (unlikely(dax_is_locked(entry)))
			entry = dax_walk_unlocked_entry(&xas);
		if (entry && dax_entry_order(entry)) {
			dax_remove_entry(&xas, mapping, entry);
			/* It takes a while for each of its pages. */
			scanned += dax_entry_nr_pages(entry);
		}
		dax_put_unlocked_entry(&xas, entry, WAKE_ALL);
		dax_pause_walk(&xas, &scanned);
	}
	xas_unlock_irq(&xas);
}
EXPORT_SYMBOL_IF_KUNIT(dax_remove_large_entries);

/* Is @entry, which may be locked, one of pages of @pgmap? */
static bool dax_entry_is_on(void *entry, struct dev_pagemap *pgmap)
{
	return xa_is_value(entry) && dax_has_pages(entry) &&
	       pgmap_pfn_valid(pgmap, dax_to_pfn(entry));
}

static void dax_unmap_mapping(struct address_space *mapping,
			      struct dev_pagemap *pgmap)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	bool found = false;
	void *entry;

	rcu_read_lock();
	xas_for_each(&xas, entry, ULONG_MAX) {
		if (xas_retry(&xas, entry))
			continue;
		found = dax_entry_is_on(entry, pgmap);
		if (found)
			break;
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	/* Whatever else the file has mapped comes back by page faults. */
	if (found)
		unmap_mapping_pages(mapping, 0, 0, false);
}

static void dax_forget_entry(struct xa_state *xas,
			     struct address_space *mapping, void *entry)
{
	/* It is not flushed any more, which fsync(2) has to say. */
	if (xas_get_mark(xas, PAGECACHE_TAG_DIRTY))
		mapping_set_error(mapping, -EIO);
	dax_remove_entry(xas, mapping, entry);
}

static void dax_forget_mapping(struct address_space *mapping,
			       struct dev_pagemap *pgmap)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int scanned = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX) {
		if (dax_entry_is_on(entry, pgmap)) {
			if (dax_is_locked(entry))
				entry = dax_walk_unlocked_entry(&xas);
			if (entry && dax_entry_is_on(entry, pgmap)) {
				dax_forget_entry(&xas, mapping, entry);
				scanned += dax_entry_nr_pages(entry);
			}
			dax_put_unlocked_entry(&xas, entry, WAKE_ALL);
		}
		dax_pause_walk(&xas, &scanned);
	}
	xas_unlock_irq(&xas);
}

/*
 * As dax_forget_mapping(), for an inode that is being evicted. It does not go
 * away as long as it is on the list of its superblock.
 *
 * Return: false if the lock of that list was dropped meanwhile. Then there may
 * be more to do, or no such inode any more.
 */
static bool dax_forget_evicted(struct inode *inode, struct dev_pagemap *pgmap)
	__must_hold(&inode->i_sb->s_inode_list_lock)
{
	spinlock_t *list_lock = &inode->i_sb->s_inode_list_lock;
	struct address_space *mapping = &inode->i_data;
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int removed = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX) {
		if (!dax_entry_is_on(entry, pgmap))
			continue;
		if (dax_is_locked(entry)) {
			spin_unlock(list_lock);
			dax_wait_entry_unlocked(&xas, entry);
			spin_lock(list_lock);
			return false;
		}
		dax_forget_entry(&xas, mapping, entry);
		dax_wake_entry(&xas, entry, WAKE_ALL);
		removed += dax_entry_nr_pages(entry);
		if (removed >= XA_CHECK_SCHED) {
			xas_unlock_irq(&xas);
			cond_resched_lock(list_lock);
			return false;
		}
	}
	xas_unlock_irq(&xas);
	return true;
}

struct dax_removal {
	struct dev_pagemap *pgmap;
	bool forget;
};

/* Value entries in files without DAX are shadows of pages. */
static bool dax_may_have_entries(struct inode *inode)
{
	return dax_mapping(&inode->i_data) && !mapping_empty(&inode->i_data);
}

static void dax_remove_from_sb(struct super_block *sb, void *arg)
{
	struct inode *inode, *toput = NULL;
	struct dax_removal *removal = arg;
	unsigned long state;
	bool entries;

	spin_lock(&sb->s_inode_list_lock);
again:
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		entries = dax_may_have_entries(inode);
		if (!entries && !need_resched())
			continue;
		spin_lock(&inode->i_lock);
		state = inode->i_state & (I_FREEING | I_WILL_FREE | I_NEW);
		if (!state)
			__iget(inode);
		spin_unlock(&inode->i_lock);
		if (state) {
			if (!entries || state & I_NEW || !removal->forget ||
			    dax_forget_evicted(inode, removal->pgmap))
				continue;
			goto again;
		}
		spin_unlock(&sb->s_inode_list_lock);

		if (entries && removal->forget)
			dax_forget_mapping(&inode->i_data, removal->pgmap);
		else if (entries)
			dax_unmap_mapping(&inode->i_data, removal->pgmap);
		iput_deferred(toput);
		toput = inode;

		cond_resched();
		spin_lock(&sb->s_inode_list_lock);
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput_deferred(toput);
}

/*
 * Have all files of all filesystems unmap, or forget, the pages of a device. A
 * reference on an inode that turns out to be the last one is left to a worker:
 * eviction may wait for a frozen filesystem, which is thawed with the lock that is
 * held here.
 */
static void dax_remove_device(struct dev_pagemap *pgmap, bool forget)
{
	struct dax_removal removal = { pgmap, forget };

	iterate_supers_dax(dax_remove_from_sb, &removal);
}

/* Is it memory that DAX files can have? */
static bool dax_has_device(struct dev_pagemap *pgmap)
{
	return pgmap->type == MEMORY_DEVICE_FS_DAX ||
	       pgmap->type == MEMORY_DEVICE_GENERIC;
}

/**
 * dax_unmap_device - unmap what DAX files have mapped of a device
 * @pgmap: the device memory, of which no folio can be requested any more
 *
 * All files with entries that lead to the device are looked for, whatever is
 * between them and the device (as device-mapper), and whatever their filesystems
 * have done when the device said that it goes away. Who touches the memory
 * gets SIGBUS from now on. Pins stay.
 *
 * Context: Process context, may sleep, takes s_umount and i_mmap_rwsem.
 */
void dax_unmap_device(struct dev_pagemap *pgmap)
{
	if (!dax_has_device(pgmap))
		return;

	/* After this, page faults that have not seen @pgmap dying are through. */
	dax_synchronize();
	dax_remove_device(pgmap, false);
}
EXPORT_SYMBOL_IF_KUNIT(dax_unmap_device);

/**
 * dax_forget_device - remove the entries that lead to a device
 * @pgmap: the device memory, which nobody uses any more
 *
 * As long as an entry is in a file, whoever holds its lock or the i_pages lock
 * may look at its folio. After this there is none, though the files may stay
 * open and be truncated, evicted or unmounted much later. What had not been
 * flushed is reported as a write-back error.
 *
 * Context: Process context, may sleep, takes s_umount and the i_pages lock.
 */
void dax_forget_device(struct dev_pagemap *pgmap)
{
	if (dax_has_device(pgmap))
		dax_remove_device(pgmap, true);
}
EXPORT_SYMBOL_IF_KUNIT(dax_forget_device);

/**
 * dax_insert_entry - give an entry the pages that a page fault is to map
 * @xas: state that the entry was grabbed with
 * @mapping: the file
 * @entryp: the locked entry; replaced by the one that is in the tree on return,
 *	which is locked as well
 * @new_entry: the entry with the pages, not locked
 * @flags: DAX_INSERT flags
 *
 * By this point dax_grab_entry() has ensured that we have a locked entry
 * of the appropriate size so we don't have to worry about downgrading it.  If
 * there is a larger entry with pages in the tree already, we will skip the
 * insertion and just dirty that entry as appropriate.
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * dax_read_lock() is held unless @new_entry is of a hole.
 * Return: 0, or with the entry as it was, though its range may be unmapped:
 * VM_FAULT_FALLBACK if @new_entry is larger than a page and one of its pages is
 * pinned or associated with another entry, or if it is to replace an entry that
 * is larger, or pinned while nobody else has its page, which dax_make_way() helps
 * with; VM_FAULT_SIGBUS if the page of @new_entry was taken from its former owner
 * while it was pinned, and still is.
 */
vm_fault_t dax_insert_entry(struct xa_state *xas, struct address_space *mapping,
			    void **entryp, void *new_entry, unsigned int flags)
{
	unsigned int order = dax_entry_order(new_entry);
	void *entry = *entryp;
	/* When a fault is repeated, what it inserts may be there already. */
	bool replace = flags & (DAX_INSERT_SHARED | DAX_INSERT_COW) &&
		       entry != new_entry;
	vm_fault_t ret = VM_FAULT_FALLBACK;

	if (flags & DAX_INSERT_DIRTY)
		__mark_inode_dirty(mapping->host, I_DIRTY_PAGES);
	if (!READ_ONCE(mapping->host->i_sb->s_dax_used))
		WRITE_ONCE(mapping->host->i_sb->s_dax_used, true);

	/* What maps the old entry goes: a zero page, or one that is given up. */
	if (replace ||
	    (dax_is_zero_entry(entry) && !dax_is_zero_entry(new_entry)))
		dax_unmap_entry(mapping, entry, xas->xa_index);

	xas_reset(xas);
	xas_lock_irq(xas);
	if (replace || !dax_has_pages(entry)) {
		void *old;

		if (dax_entry_order(entry) > order)
			goto refused;
		if (!dax_associate_entry(new_entry, mapping, xas->xa_index,
					 flags & DAX_INSERT_SHARED)) {
			if (!order)
				ret = VM_FAULT_SIGBUS;
			goto refused;
		}
		if (!dax_disassociate_entry(entry, mapping, false)) {
			dax_disassociate_entry(new_entry, mapping, true);
			goto refused;
		}
		/*
		 * Only swap our new entry into the page cache if the current
		 * entry is a zero page or an empty entry.  If an entry with
		 * pages is already in the cache, we leave it alone.  This
		 * means that if we are trying to insert a PTE and the
		 * existing entry is a PMD, we will just leave the PMD in the
		 * tree and dirty it if necessary.
		 */
		old = dax_lock_entry(xas, new_entry);
		WARN_ON_ONCE(old != xa_mk_value(xa_to_value(entry) |
					DAX_LOCKED));
		*entryp = new_entry;
	} else {
		xas_load(xas);	/* Walk the xa_state */
	}

	if (flags & DAX_INSERT_DIRTY)
		xas_set_mark(xas, PAGECACHE_TAG_DIRTY);

	if (flags & DAX_INSERT_COW)
		xas_set_mark(xas, PAGECACHE_TAG_TOWRITE);

	ret = 0;
refused:
	xas_unlock_irq(xas);
	return ret;
}
EXPORT_SYMBOL_NS_GPL(dax_insert_entry, DAX);

/*
 * Wait for *@entryp, which was found locked, to be unlocked.
 *
 * Return: 0 with the entry in *@entryp, or with NULL if there is nothing left
 * to write back, or -EIO if it has no pages that could be.
 */
static int dax_wait_writeback(struct xa_state *xas, void **entryp)
	__must_hold(&xas->xa->xa_lock)
{
	void *entry = dax_walk_unlocked_entry(xas), *old_entry = *entryp;
	int ret = 0;

	*entryp = NULL;
	/* Entry got punched out / reallocated? */
	if (!entry || WARN_ON_ONCE(!xa_is_value(entry)))
		goto put_unlocked;
	/*
	 * Entry got reallocated elsewhere? No need to writeback.
	 * We have to compare pfns as we must not bail out due to
	 * difference in lockbit or entry type.
	 */
	if (dax_to_pfn(old_entry) != dax_to_pfn(entry))
		goto put_unlocked;
	if (WARN_ON_ONCE(!dax_has_pages(entry))) {
		ret = -EIO;
		goto put_unlocked;
	}

	/* Another fsync thread may have already done this entry */
	if (!xas_get_mark(xas, PAGECACHE_TAG_TOWRITE))
		goto put_unlocked;
	*entryp = entry;
	return 0;

put_unlocked:
	dax_put_unlocked_entry(xas, entry, WAKE_NEXT);
	return ret;
}

/* Walk all mappings of a given index of a file and writeprotect them */
static void dax_mkclean_entry(struct address_space *mapping, void *entry,
			      pgoff_t index)
{
	unsigned long count = dax_entry_nr_pages(entry);
	struct vm_area_struct *vma;

	i_mmap_lock_read(mapping);
	vma_interval_tree_foreach(vma, &mapping->i_mmap, index,
				  index + count - 1) {
		pfn_mkclean_range(dax_to_pfn(entry), count, index, vma);
		cond_resched();
	}
	i_mmap_unlock_read(mapping);
}

static int dax_writeback_one(struct xa_state *xas, struct dax_device *dax_dev,
			     struct address_space *mapping, void *entry)
	__must_hold(&xas->xa->xa_lock)
{
	unsigned long index, count;

	/*
	 * A page got tagged dirty in DAX mapping? Something is seriously
	 * wrong.
	 */
	if (WARN_ON(!xa_is_value(entry)))
		return -EIO;

	if (unlikely(dax_is_locked(entry))) {
		int ret = dax_wait_writeback(xas, &entry);

		if (!entry)
			return ret;
	}

	/* Lock the entry to serialize with page faults */
	dax_lock_entry(xas, entry);

	/*
	 * We can clear the tag now but we have to be careful so that concurrent
	 * dax_writeback_one() calls for the same index cannot finish before we
	 * actually flush the caches. This is achieved as the calls will look
	 * at the entry only under the i_pages lock and once they do that
	 * they will see the entry locked and wait for it to unlock.
	 */
	xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
	xas_unlock_irq(xas);

	/*
	 * If dax_writeback_mapping_range() was given a wbc->range_start
	 * in the middle of an entry, the 'index' we use needs to be
	 * aligned to the start of the entry.
	 * This allows us to flush all of it and not have to worry about
	 * partial writebacks.
	 */
	count = dax_entry_nr_pages(entry);
	index = dax_entry_start(entry, xas->xa_index);

	dax_mkclean_entry(mapping, entry, index);
	dax_flush(dax_dev, page_address(pfn_to_page(dax_to_pfn(entry))),
		  count * PAGE_SIZE);
	/*
	 * After we have flushed the cache, we can clear the dirty tag. There
	 * cannot be new dirty data in the pfn after the flush has completed as
	 * the pfn mappings are writeprotected and fault waits for mapping
	 * entry lock.
	 */
	xas_reset(xas);
	xas_lock_irq(xas);
	xas_store(xas, entry);
	xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
	dax_wake_entry(xas, entry, WAKE_NEXT);

	trace_dax_writeback_one(mapping->host, index, count);
	return 0;
}

/**
 * dax_writeback_mapping_range - flush what was written through mappings
 * @mapping: the file
 * @dax_dev: the device that its blocks are on
 * @wbc: range in bytes, from range_start to range_end; nothing is done unless
 *	sync_mode is WB_SYNC_ALL
 *
 * Flush the mapping to the persistent domain within the byte range of [start,
 * end]. This is required by data integrity operations to ensure file data is
 * on persistent storage prior to completion of the operation.
 *
 * Context: Process context, may sleep, takes i_mmap_rwsem and the i_pages lock.
 * Return: 0, or -EIO if the block size is not that of a page or if what is
 * marked dirty is not a page.
 */
int dax_writeback_mapping_range(struct address_space *mapping,
				struct dax_device *dax_dev,
				struct writeback_control *wbc)
{
	XA_STATE(xas, &mapping->i_pages, wbc->range_start >> PAGE_SHIFT);
	struct inode *inode = mapping->host;
	pgoff_t end_index = wbc->range_end >> PAGE_SHIFT;
	void *entry;
	int ret = 0;
	unsigned int scanned = 0;

	if (WARN_ON_ONCE(inode->i_blkbits != PAGE_SHIFT))
		return -EIO;

	if (mapping_empty(mapping) || wbc->sync_mode != WB_SYNC_ALL)
		return 0;

	trace_dax_writeback_range(inode, xas.xa_index, end_index);

	tag_pages_for_writeback(mapping, xas.xa_index, end_index);

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, end_index, PAGECACHE_TAG_TOWRITE) {
		ret = dax_writeback_one(&xas, dax_dev, mapping, entry);
		if (ret < 0) {
			mapping_set_error(mapping, ret);
			break;
		}
		dax_pause_walk(&xas, &scanned);
	}
	xas_unlock_irq(&xas);
	trace_dax_writeback_range_done(inode, xas.xa_index, end_index);
	return ret;
}
EXPORT_SYMBOL_NS_GPL(dax_writeback_mapping_range, DAX);

/**
 * dax_insert_pfn_mkwrite - insert PTE or PMD entry into page tables
 * @vmf: The description of the fault
 * @pfn: PFN to insert
 * @order: Order of entry to insert.
 *
 * This function inserts a writeable PTE or PMD entry into the page tables
 * for an mmaped DAX file.  It also marks the page cache entry as dirty.
 *
 * Context: Process context, may sleep, takes the i_pages lock. What keeps
 * truncate out has been held since @pfn was inserted in the file.
 * Return: VM_FAULT_NOPAGE when the page is mapped, or if the entry is no longer
 * there and the fault is to be tried again; VM_FAULT_FALLBACK when @order
 * cannot be used; VM_FAULT_SIGBUS or VM_FAULT_OOM.
 */
vm_fault_t
dax_insert_pfn_mkwrite(struct vm_fault *vmf, pfn_t pfn, unsigned int order)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	XA_STATE_ORDER(xas, &mapping->i_pages, vmf->pgoff, order);
	void *entry;
	vm_fault_t ret;
	int id;

	xas_lock_irq(&xas);
	entry = dax_get_unlocked_entry(&xas, order);
	/*
	 * The entry was not locked during the fsync. Did we race with someone
	 * splitting or replacing it?
	 */
	if (!entry || dax_is_conflict(entry) ||
	    dax_entry_order(entry) != order || !dax_has_pages(entry) ||
	    dax_to_pfn(entry) != pfn_t_to_pfn(pfn)) {
		dax_put_unlocked_entry(&xas, entry, WAKE_NEXT);
		xas_unlock_irq(&xas);
		trace_dax_insert_pfn_mkwrite_no_entry(mapping->host, vmf,
						      VM_FAULT_NOPAGE);
		return VM_FAULT_NOPAGE;
	}
	xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
	dax_lock_entry(&xas, entry);
	xas_unlock_irq(&xas);
	id = dax_read_lock();
	ret = dax_map_pfn(vmf, pfn_t_to_pfn(pfn), order, true);
	dax_read_unlock(id);
	dax_unlock_entry(&xas, entry);
	trace_dax_insert_pfn_mkwrite(mapping->host, vmf, ret);
	return ret;
}
