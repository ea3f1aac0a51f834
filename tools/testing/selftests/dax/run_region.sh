#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Pinned pages of device-dax devices, and their removal, on devices of a region
# that can be divided and is not yet (dax_hmem, CXL): one of 1 GiB, and two that
# consist of two ranges each, which meet in the middle of what is unmapped and
# waited for. The memmap is in RAM, and that of the larger alignments has pages
# in common. The only argument is "-k PART", for tests by part of their name.

cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./dax_lib.sh

# The number of a region that nothing uses, and that is large enough.
find_region()
{
	local device region size

	for device in /sys/bus/dax/devices/*; do
		region=$(readlink -f "$device/..")/dax_region
		size=$(cat "$region/available_size" 2> /dev/null) || continue
		if [ "$size" -ge $((1088 << 20)) ] &&
		   [ "$size" = "$(cat "$region/size")" ]; then
			cat "$region/id"
			return
		fi
	done
	return 1
}

# create SIZE ALIGN: prints the name of the device.
create()
{
	daxctl create-device -r "$region" -s "$1" -a "$2" |
		sed -n 's/.*"chardev":"\(dax[0-9.]*\)".*/\1/p'
}

destroy()
{
	daxctl destroy-device -f "$1" > /dev/null
}

# create_of_ranges ALIGN: what is free in front of a device is the first range.
create_of_ranges()
{
	local first between

	first=$(create 4M "$1")
	between=$(create 4M "$1")
	destroy "$first"
	create 32M "$1"
	destroy "$between"
}

destroy_all()
{
	local device

	for device in "${devices[@]}"; do
		destroy "$device"
	done
}

# run PROGRAM OPTION...
run()
{
	[ $# = 1 ] || "$@" || status=1
}

require_root
require_tool daxctl
part=devdax
[ "${1:-}" != "-k" ] || part=$2
mapfile -t pins < <(matching_tests ./devdax "$part" | xargs -rn 1)
mapfile -t removals < <(matching_tests ./removal "$part" |
			grep -e '-r removal.*devdax' | xargs -rn 1)
[ $((${#pins[@]} + ${#removals[@]})) -gt 0 ] || skip "no test of this name"
region=$(find_region) || skip "no unused region of device-dax devices"

devices=()
trap destroy_all EXIT
devices+=("$(create 1G 1073741824)")
devices+=("$(create_of_ranges 2097152)")
devices+=("$(create_of_ranges 4096)")
status=0
run ./devdax "${pins[@]}"
run ./removal "${removals[@]}"
exit "$status"
