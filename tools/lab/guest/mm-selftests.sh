#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# mm-selftests.sh -l [NAME]          on the host: lines "TEST PROGRAM", nothing is run
# mm-selftests.sh SPM SPM [NAME]     in the guest: run them
#
# The kernel's own mm selftests, built in /host, with files and devices of DAX
# where they use files; only tests with NAME in their names. A test is one or
# more runs of programs. Around what each prints are lines of its own,
# "lab-mm start TEST RUN" and "lab-mm end STATUS", and the kernel's log says
# "lab-mm: TEST". SPM are the addresses of two pieces of 256 MiB of RAM that the
# kernel does not use, for coherent device memory.
set -uo pipefail

readonly MM=/root/mm	# the programs; 9p is no place to run them from
readonly DIR=/mnt
readonly SIZE=8		# MiB that gup_test maps of a file

# In the order of the namespaces.
readonly EXT4=/dev/pmem0 XFS=/dev/pmem1

# --- surroundings -------------------------------------------------------------
fail()
{
	echo "lab: $*" >&2
	exit 1
}

# A file whose blocks lie as on the device, 2 MiB by 2 MiB, and one that is off by
# a page everywhere: the first is mapped by PMDs, the other by PTEs.
make_files()
{
	xfs_io -f -c "extsize 2m" -c "falloc 0 512m" "$DIR/xfs/pmd"
	fallocate -l 512M "$DIR/ext4/pte"
	fallocate -i -o 0 -l 4096 "$DIR/ext4/pte"
}

prepare_files()
{
	mkdir -p "$DIR"/{ext4,xfs}
	mkfs.ext4 -q -F -b 4096 -m 0 -E stride=512,stripe_width=512,nodiscard $EXT4 &&
		mkfs.xfs -q -f -K -m reflink=0,rmapbt=0 -d su=2m,sw=1 -l size=64m,su=4096 $XFS &&
		mount -o dax=always $EXT4 "$DIR/ext4" && mount -o dax=always $XFS "$DIR/xfs" &&
		make_files && chmod 1777 "$DIR"/{ext4,xfs}
}

# dax_device ALIGN: make the third region a device with it; sets DAX_DEVICE.
dax_device()
{
	DAX_DEVICE=/dev/$(ndctl create-namespace -f -e namespace2.0 -m devdax -a "$1" |
		jq -r '.daxregion.devices[0].chardev')
	udevadm settle
	[ -c "$DAX_DEVICE" ]
}

prepare()
{
	cp -r /host "$MM"
	modprobe -a nd_e820 nd_pmem device_dax
	udevadm settle
	prepare_files || fail "cannot make the files"
	echo 128 >/proc/sys/vm/nr_hugepages
}

# --- tests --------------------------------------------------------------------
# chosen TEST: the following runs belong to it, if it is wanted.
chosen()
{
	TEST=$1
	[[ $TEST == *"$NAME"* ]] || return 1
	[ -n "$LIST" ] || echo "lab-mm: $TEST" >/dev/kmsg
}

# in_place DIR COMMAND...: there, and there is /tmp, where tmpfile(3) goes.
in_place()
{
	# shellcheck disable=SC2016	# another shell's
	unshare -m bash -c 'mount --bind "$1" /tmp && cd /tmp && exec "${@:2}"' - "$@"
}

# begin RUN
begin()
{
	echo
	echo "lab-mm start $TEST $*"
}

# end STATUS
end()
{
	echo
	echo "lab-mm end $1"
}

# run PLACE PROGRAM ARG...: PLACE is ext4, xfs or ram.
run()
{
	local place=$DIR/$1
	shift
	if [ -n "$LIST" ]; then
		echo "$TEST $1"
		return
	fi
	[ "$place" != "$DIR/ram" ] || place=/tmp
	begin "$*"
	in_place "$place" timeout -k 10 "$LIMIT" "$MM/$1" "${@:2}" 2>&1
	end $?
}

# must NAME COMMAND...: a run that is not of a program
must()
{
	local status=0
	[ -z "$LIST" ] || return 0
	begin "$1"
	"${@:2}" 2>&1 || status=1
	end $status
}

# faults_of TRACEPOINT FILE: how many faults by it did what they were to do.
faults_of()
{
	local trace=/sys/kernel/tracing
	echo >"$trace/trace"
	echo 1 >"$trace/events/fs_dax/$1/enable" || return
	"$MM/gup_test" -U -n 1 -S -m "$SIZE" -f "$2" >/dev/null
	echo 0 >"$trace/events/fs_dax/$1/enable"
	grep -c "$1: .*NOPAGE" "$trace/trace" || true
}

# mapped_by ENTRY FILE: pmd or pte
mapped_by()
{
	local pmds ptes
	pmds=$(faults_of dax_pmd_fault_done "$2") && ptes=$(faults_of dax_pte_fault_done "$2") || return
	echo "# $pmds faults by PMD, $ptes by PTE"
	case $1 in
	pmd) [ "$pmds" -gt 0 ] && [ "$ptes" = 0 ] ;;
	pte) [ "$ptes" -gt 0 ] && [ "$pmds" = 0 ] ;;
	esac
}

# gup OPTIONS FILE_OPTION...: every way to get and to pin.
gup()
{
	local share how write pages
	for share in $1; do
		for how in -u -U -a -b -L; do
			for write in -w -W; do
				for pages in 1 123 512; do
					run ram gup_test "$how" $write -n $pages -m $SIZE "$share" "${@:2}"
				done
			done
		done
	done
	run ram gup_test -a -z -S -n 512 -m $SIZE "${@:2}"
	run ram gup_test -a -S -n 512 -m $SIZE -j 4 -r 4 "${@:2}"
	run ram gup_test -c -p -S -m $SIZE "${@:2}" 0 19 0x400
}

gup_tests()
{
	! chosen gup_test-anon || gup "-t -T"
	if chosen gup_test-ext4-pte; then
		must "mapped by PTEs" mapped_by pte "$DIR/ext4/pte"
		gup "-S -T" -f "$DIR/ext4/pte"
	fi
	if chosen gup_test-xfs-pmd; then
		must "mapped by PMDs" mapped_by pmd "$DIR/xfs/pmd"
		gup "-S -T" -f "$DIR/xfs/pmd"
	fi
	if chosen gup_test-devdax-4k; then
		must "a device of 4 KiB" dax_device 4k
		gup -S -f "$DAX_DEVICE"
	fi
	if chosen gup_test-devdax-2m; then
		must "a device of 2 MiB" dax_device 2m
		gup -S -f "$DAX_DEVICE"
	fi
}

# hmm PARAMETER...: without parameters, the module makes private memory.
hmm()
{
	must "load test_hmm" modprobe test_hmm "$@"
	run ram hmm-tests
	run xfs hmm-tests
	must "unload test_hmm" modprobe -r test_hmm
}

# Whatever the size of a test file, its place is what it is about: programs make
# files in the current directory and in /tmp.
file_tests()
{
	local fs program
	for fs in ext4 xfs; do
		for program in cow gup_longterm map_populate hugetlb_dio; do
			! chosen "$program-$fs" || run $fs $program
		done
	done
	if chosen transhuge-stress; then
		run ram transhuge-stress -d 10 256
		run ext4 transhuge-stress -d 10 -f "$DIR/ext4/pte" 256
		run xfs transhuge-stress -d 10 -f "$DIR/xfs/pmd" 256
	fi
	! chosen split_huge_page_test || run ram split_huge_page_test "$DIR/xfs"
}

ksm_tests()
{
	if chosen ksm_tests; then
		run ram ksm_tests -M -p 10
		run ram ksm_tests -U
		run ram ksm_tests -Z -p 10 -z 0
		run ram ksm_tests -Z -p 10 -z 1
		run ram ksm_tests -H -s 32
		run ram ksm_tests -P -s 32
		run ram ksm_tests -D -s 32
		run ram ksm_tests -C
	fi
	! chosen ksm_functional_tests || run ram ksm_functional_tests
}

memory_tests()
{
	local program
	for program in mremap_test mremap_dontunmap madv_populate mlock2-tests mlock-random-test \
		mkdirty mdwe_test mseal_test droppable memfd_secret map_fixed_noreplace; do
		! chosen $program || run ram $program
	done
}

all_tests()
{
	file_tests
	gup_tests
	! chosen hmm-private || hmm
	! chosen hmm-coherent || hmm spm_addr_dev0="${SPM[0]}" spm_addr_dev1="${SPM[1]}"
	ksm_tests
	memory_tests
	# They take minutes, few of them with files: one filesystem is enough.
	! chosen pagemap_ioctl-xfs || run xfs pagemap_ioctl
	! chosen soft-dirty-ext4 || run ext4 soft-dirty
}

TEST='' NAME='' LIST='' SPM=(0 0) DAX_DEVICE=/dev/none
readonly LIMIT=1200	# seconds for a run

main()
{
	if [ "$1" = -l ]; then
		LIST=y NAME=${2-}
		all_tests | awk '!seen[$0]++'
		return
	fi
	SPM=("$1" "$2") NAME=${3-}
	prepare >/run/lab/prepare.log 2>&1 ||
		fail "cannot prepare the guest: $(tail -n 1 /run/lab/prepare.log)"
	all_tests
	# What goes wrong when all is given back belongs to no test.
	echo "lab-mm: done" >/dev/kmsg
	umount "$DIR/ext4" "$DIR/xfs"
}

main "$@"
