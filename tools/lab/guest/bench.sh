#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# bench.sh REPEATS: measure every kind of memory with the program /host/bench, on
# the one blank pmem device there is. Its lines "KIND OPERATION NANOSECONDS" go to
# /run/lab/bench, where each figure appears REPEATS times.
set -euo pipefail

readonly REPEATS=$1 OUT=/run/lab/bench
readonly PAGE=4096 PMD=$((2 << 20)) PUD=$((1 << 30))
readonly DEVICE=/dev/pmem0 DIR=/mnt

# One fault maps one page of a file, as with DAX, and no writeback protects pages
# that were mapped for writing.
settle_guest()
{
	echo $PAGE >/sys/kernel/debug/fault_around_bytes
	echo 95 >/proc/sys/vm/dirty_ratio
	echo 90 >/proc/sys/vm/dirty_background_ratio
	echo 0 >/proc/sys/vm/dirty_writeback_centisecs
}

bench()
{
	/host/bench "$@" >>"$OUT"
}

# gup KIND FILE ENTRY
gup()
{
	echo "$1: get and pin"
	bench gup "$@" "$REPEATS"
}

# faults RENEW KIND FILE ENTRY OPERATION...: RENEW makes the kernel forget what
# it knows of FILE, before a fault that is to find it absent.
faults()
{
	local renew=$1 operation i
	shift
	echo "$1: ${*:4}"
	for ((i = 0; i < REPEATS; i++)); do
		for operation in "${@:4}"; do
			[[ $operation != *-absent ]] || $renew
			bench fault "$1" "$2" "$3" "$operation"
		done
	done
}

# file OPTIONS: mount the device, with a file that has all its blocks.
file()
{
	mount -o "$1" "$DEVICE" "$DIR"
	fallocate -l 256M "$DIR/file"
}

remount()
{
	local options
	options=$(findmnt -no OPTIONS "$DIR")
	umount "$DIR"
	mount -o "$options" "$DEVICE" "$DIR"
}

# anonymous memory and page cache
measure_ram()
{
	gup anon-4k - $PAGE
	gup anon-2m - $PMD
	faults : anon-4k - $PAGE write-absent munmap
	faults : anon-2m - $PMD write-absent munmap
	fallocate -l 256M /dev/shm/file
	gup shmem-4k /dev/shm/file $PAGE
	rm /dev/shm/file
}

# measure_fsdax KIND ENTRY
measure_fsdax()
{
	file dax=always
	gup "$1" "$DIR/file" "$2"
	faults remount "$1" "$DIR/file" "$2" \
		read-absent read-present write-absent write-present munmap
	umount "$DIR"
}

# The size is one that mkfs gives blocks of 4 KiB.
measure_ext4()
{
	mkfs.ext4 -q -F -b $PAGE -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$DEVICE" 1g
	file dax=never
	gup file-4k "$DIR/file" $PAGE
	faults : file-4k "$DIR/file" $PAGE read-present write-present munmap
	umount "$DIR"
	measure_fsdax fsdax-4k $PAGE
}

# What is aligned to a stripe is aligned to a PMD.
measure_xfs()
{
	mkfs.xfs -q -f -K -m reflink=0 -d size=1g,agcount=2,su=2m,sw=1 -l su=4096 "$DEVICE"
	measure_fsdax fsdax-2m $PMD
}

rebind_dax()
{
	echo "$DAX" >/sys/bus/dax/drivers/device_dax/unbind
	echo "$DAX" >/sys/bus/dax/drivers/device_dax/bind
}

# measure_devdax KIND ENTRY
measure_devdax()
{
	ndctl create-namespace -f -e "$NAMESPACE" -m devdax -a "$2" >&2
	udevadm settle
	DAX=$(basename /sys/bus/dax/devices/dax*)
	gup "$1" "/dev/$DAX" "$2"
	faults rebind_dax "$1" "/dev/$DAX" "$2" \
		read-absent read-present write-absent write-present munmap
}

# A namespace with memmap in RAM, which takes all of its region.
measure_bind()
{
	local driver=/sys/bus/nd/drivers/nd_pmem gib i
	gib=$(($(blockdev --getsize64 "$DEVICE") / PUD))
	echo "pmem: bind"
	for ((i = 0; i < REPEATS; i++)); do
		echo "$NAMESPACE" >"$driver/unbind"
		udevadm settle
		bench bind pmem "$driver/bind" "$NAMESPACE" "$gib"
	done
}

settle_guest
NAMESPACE=$(basename "$(realpath "/sys/block/${DEVICE##*/}/device")")
measure_ram
measure_bind
measure_ext4
measure_xfs
measure_devdax devdax-4k $PAGE
measure_devdax devdax-2m $PMD
measure_devdax devdax-1g $PUD
