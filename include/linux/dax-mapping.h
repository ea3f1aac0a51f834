/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_DAX_MAPPING_H
#define _LINUX_DAX_MAPPING_H

/*
 * The entries of DAX files, for those who handle page faults on them. What
 * filesystems, the VFS and mm call is in <linux/dax.h>.
 */

#include <linux/bits.h>
#include <linux/mm_types.h>
#include <linux/pfn_t.h>
#include <linux/xarray.h>

struct address_space;
struct vm_fault;

/*
 * What is about to happen to the page of an entry that is inserted:
 * DAX_INSERT_DIRTY	it is written to, and flushed by a later fsync
 * DAX_INSERT_SHARED	other files have it as well
 * DAX_INSERT_COW	it is a copy, and replaces a page that other files have
 */
#define DAX_INSERT_DIRTY	BIT(0)
#define DAX_INSERT_SHARED	BIT(1)
#define DAX_INSERT_COW		BIT(2)

/**
 * dax_is_fault - did dax_grab_entry() fail?
 * @entry: what it returned
 *
 * An error instead of an entry is a VM_FAULT code, kept in an internal entry:
 * the ERR_PTR() values overlap with value entries.
 *
 * Context: Any.
 * Return: true if @entry is not an entry, but a VM_FAULT code.
 */
static inline bool dax_is_fault(void *entry)
{
	return xa_is_internal(entry);
}

/**
 * dax_entry_to_fault - the reason why dax_grab_entry() failed
 * @entry: what it returned, with dax_is_fault() true
 *
 * Context: Any.
 * Return: A VM_FAULT code.
 */
static inline vm_fault_t dax_entry_to_fault(void *entry)
{
	return (__force vm_fault_t)xa_to_internal(entry);
}

void *dax_make_entry(unsigned long pfn, unsigned int order);
void *dax_make_zero_entry(unsigned long pfn, unsigned int order);

void *dax_grab_entry(struct xa_state *xas, struct address_space *mapping,
		     unsigned int order);
vm_fault_t dax_insert_entry(struct xa_state *xas, struct address_space *mapping,
			    void **entryp, void *new_entry, unsigned int flags);
void dax_unlock_entry(struct xa_state *xas, void *entry);

vm_fault_t dax_map_pfn(struct vm_fault *vmf, unsigned long pfn,
		       unsigned int order, bool write);

vm_fault_t dax_insert_pfn_mkwrite(struct vm_fault *vmf, pfn_t pfn,
				  unsigned int order);
void dax_remove_large_entries(struct address_space *mapping, pgoff_t start,
			      pgoff_t end);
vm_fault_t dax_make_way(struct address_space *mapping, pgoff_t index);

#endif
