/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM zone_device

#if !defined(_TRACE_ZONE_DEVICE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_ZONE_DEVICE_H

#include <linux/mm.h>
#include <linux/tracepoint.h>

/* The first reference on a folio, or none as the device is going away. */
TRACE_EVENT(zone_device_request,
	TP_PROTO(struct folio *folio, bool granted),
	TP_ARGS(folio, granted),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned int, order)
		__field(bool, granted)
	),
	TP_fast_assign(
		__entry->pfn = folio_pfn(folio);
		__entry->order = folio_order(folio);
		__entry->granted = granted;
	),
	TP_printk("pfn %#lx order %u %s",
		__entry->pfn,
		__entry->order,
		__entry->granted ? "granted" : "refused"
	)
);

/* The last reference has gone. The page may be in use again already. */
TRACE_EVENT(zone_device_idle,
	TP_PROTO(struct folio *folio),
	TP_ARGS(folio),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
	),
	TP_fast_assign(
		__entry->pfn = folio_pfn(folio);
	),
	TP_printk("pfn %#lx", __entry->pfn)
);

/* The removal of a device waits for folios in use, and is done with it. */
DECLARE_EVENT_CLASS(zone_device_wait_class,
	TP_PROTO(const char *device),
	TP_ARGS(device),
	TP_STRUCT__entry(
		__string(device, device)
	),
	TP_fast_assign(
		__assign_str(device);
	),
	TP_printk("device %s", __get_str(device))
);

DEFINE_EVENT(zone_device_wait_class, zone_device_wait,
	TP_PROTO(const char *device),
	TP_ARGS(device));

DEFINE_EVENT(zone_device_wait_class, zone_device_wait_done,
	TP_PROTO(const char *device),
	TP_ARGS(device));

/* It waits still, and says so. */
TRACE_EVENT(zone_device_busy,
	TP_PROTO(const char *device, unsigned long nr, unsigned long pfn),
	TP_ARGS(device, nr, pfn),
	TP_STRUCT__entry(
		__string(device, device)
		__field(unsigned long, nr)
		__field(unsigned long, pfn)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->nr = nr;
		__entry->pfn = pfn;
	),
	TP_printk("device %s busy folios %lu first pfn %#lx",
		__get_str(device),
		__entry->nr,
		__entry->pfn
	)
);

#endif /* _TRACE_ZONE_DEVICE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
