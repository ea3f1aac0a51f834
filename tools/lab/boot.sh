# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab boot: run one command in a guest. guest/init is the other end of what is
# set up here. boot_image makes do with less, and starts QEMU itself.
#
# Every boot has a directory of its own, which the guest sees as /run/lab:
#   argv    the command, one NUL-terminated argument each
#   up      made by the guest right before it starts the command
#   output  what the command prints
#   status  its exit status, written last

# Exit statuses that are not the command's (see `lab help`).
readonly EXIT_SPLAT=120 EXIT_PANIC=121 EXIT_LOST=122 EXIT_TIMEOUT=124

# A task that waits this long in the kernel is a splat. Longer than any wait
# that a test makes on purpose.
readonly HUNG_TASK_SECS=240

readonly GIB=1024	# all sizes below are in MiB

# Types of memory, as memmap= takes them.
readonly E820_RAM=1 E820_SOFT_RESERVED=0xefffffff

# What a kernel says when it found a mistake in itself, on lines that are its
# own. Lockdep's reports start with WARNING or BUG as well.
readonly SPLATS='^\[ *[0-9]+\.[0-9]+\] .*(WARNING: |BUG: |kernel BUG at|Oops: |general protection fault|UBSAN: |KASAN: |refcount_t: |INFO: (task .* blocked for more than|rcu.*detected|trying to register)|Bad (rss-counter|page (state|map))|Kernel panic)'

# mib OPTION SIZE LEAST: 512M or 4G in MiB, a multiple of LEAST.
mib()
{
	local n=0
	case $2 in
	[1-9]*([0-9])G) n=$((${2%G} * GIB)) ;;
	[1-9]*([0-9])M) n=${2%M} ;;
	esac
	if [ "$n" = 0 ] || [ $((n % $3)) != 0 ]; then
		die "$1: '$2' is not a size such as 512M or 4G, in steps of ${3}M"
	fi
	echo "$n"
}

parse_boot()
{
	PMEM=() CPUS=2 MEM=$((2 * GIB)) ICOUNT='' SHARE='' TIMEOUT=600 APPEND='' ACCEL='' COMMAND=()
	local size
	while [ $# -gt 0 ]; do
		case $1 in
		--icount) ICOUNT=y; shift; continue ;;
		--) shift; COMMAND=("$@"); return ;;
		--*) [ $# -gt 1 ] || die "$1: value missing" ;;
		*) die "unexpected argument '$1' (the command comes after --)" ;;
		esac
		case $1 in
		--pmem)
			[[ $2 == @(e820|acpi|soft):* ]] ||
				die "--pmem $2: want e820:SIZE, acpi:SIZE or soft:SIZE"
			size=$(mib --pmem "${2#*:}" 16) || exit
			PMEM+=("${2%%:*}:$size") ;;
		--cpus) [[ $2 == [1-8] ]] || die "--cpus $2: want 1 to 8"; CPUS=$2 ;;
		--mem) MEM=$(mib --mem "$2" 128) || exit ;;
		--share) [ -d "$2" ] || die "--share $2: no such directory"; SHARE=$(realpath "$2") ;;
		--timeout) [[ $2 == [1-9]*([0-9]) ]] || die "--timeout $2: want seconds"; TIMEOUT=$2 ;;
		--append) APPEND+=" $2" ;;
		--accel) ACCEL=$2 ;;
		*) die "unknown option $1" ;;
		esac
		shift 2
	done
}

# Where memory goes. q35 puts 2 GiB of RAM below the 4 GiB line when there is
# more than 2.75 of it, the rest above. e820 and soft-reserved regions are cut
# out of the RAM above; ACPI regions follow all RAM. Each starts on a GiB, for 1G
# mappings, and the former keep RAM between them, as the kernel would merge
# neighbours.
# Label areas lie behind their region, so that its size stays what was asked for.
memory_args()
{
	local ram=$MEM at=$((4 * GIB)) slots=0 label=2 total=0 pmem size n
	for pmem in "${PMEM[@]}"; do
		size=${pmem#*:}
		case $pmem in
		e820:*) CMDLINE+=" memmap=${size}M!${at}M" ;;
		soft:*) CMDLINE+=" memmap=${size}M%${at}M-$E820_RAM+$E820_SOFT_RESERVED" ;;
		*) continue ;;
		esac
		at=$((at + (size / GIB + 1) * GIB))
	done
	if [ $at -gt $((4 * GIB)) ]; then
		ram=$((at - 4 * GIB + (MEM > 2 * GIB ? MEM : 2 * GIB)))
	fi
	at=$((ram >= 2816 ? ram + 2 * GIB : 4 * GIB))
	for pmem in "${PMEM[@]}"; do
		[[ $pmem == acpi:* ]] || continue
		size=$((${pmem#*:} + label)) n=$((slots++))
		at=$(((at + GIB - 1) / GIB * GIB))
		QEMU+=(-object "memory-backend-ram,id=pmem$n,size=${size}M"
			-device "nvdimm,memdev=pmem$n,label-size=${label}M,addr=$((at << 20))")
		at=$((at + size)) total=$((total + size))
	done
	[ $slots = 0 ] || QEMU+=(-machine nvdimm=on)
	size=$((ram + total + GIB))
	# shellcheck disable=SC2054 # one argument
	QEMU+=(-m "${ram}M,slots=$((slots + 1)),maxmem=${size}M"
		-object "memory-backend-ram,id=ram,size=${ram}M" -numa node,memdev=ram)
}

cpu_args()
{
	if [ -n "$ICOUNT" ]; then
		QEMU+=(-accel "tcg,thread=single" -icount "shift=0,sleep=off" -cpu max -smp 1)
	elif [ "$ACCEL" = kvm ]; then
		QEMU+=(-accel kvm -cpu host -smp "$CPUS")
	else
		QEMU+=(-accel "tcg,thread=multi" -cpu max -smp "$CPUS")
	fi
}

# share TAG DIR [ro]
share_args()
{
	QEMU+=(-virtfs "local,path=${2//,/,,},mount_tag=$1,security_model=none,multidevs=remap${3:+,readonly=on}")
}

# qemu_machine ARG...: what parse_boot read, with the guest image, in the array
# QEMU. CMDLINE is the kernel's; it is added to here.
qemu_machine()
{
	QEMU=(qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -display none -no-reboot
		-drive "file=$BUILD/guest.img,if=virtio,format=raw,cache=unsafe,snapshot=on"
		"$@")
	cpu_args
	memory_args
}

# qemu_args K F ARG...: the whole QEMU command line in the array QEMU.
qemu_args()
{
	local obj=$TREES/$1-$2
	CMDLINE="console=ttyS0 root=/dev/vda rw init=/sbin/lab-init panic=-1 oops=panic"
	CMDLINE+=" sysctl.kernel.hung_task_timeout_secs=$HUNG_TASK_SECS rcupdate.rcu_cpu_stall_timeout=60$APPEND"
	qemu_machine "${@:3}"
	share_args lab "$TOP/tools/lab/guest" ro
	share_args modules "$(echo "$obj"/modules/lib/modules/*)" ro
	share_args control "$CONTROL"
	[ -z "$SHARE" ] || share_args host "$SHARE"
	# Who wants devices of a soft-reserved region makes them.
	[[ " ${PMEM[*]}" != *" soft:"* ]] || CMDLINE+=" dax_hmem.region_idle=1"
	QEMU+=(-kernel "$obj/arch/x86/boot/bzImage" -append "$CMDLINE")
}

# splats LOG: the first splats in LOG, each with what follows it; fails when
# there is none.
splats()
{
	grep -aEm 3 -A 25 -- "$SPLATS" "$1"
}

# verdict: what the guest's end means. Sets GUEST_STATUS to the command's own
# status, empty when it did not get that far.
verdict()
{
	local rc=0
	GUEST_STATUS=$(cat "$CONTROL/status" 2>/dev/null) || GUEST_STATUS=
	if grep -aq 'Kernel panic' "$GUEST_LOG"; then
		say "the guest's kernel panicked" && rc=$EXIT_PANIC
	elif [ -n "$GUEST_STATUS" ]; then
		rc=$GUEST_STATUS
	elif [ $((SECONDS - GUEST_START)) -ge "$TIMEOUT" ]; then
		say "time-out: the guest was ended after $TIMEOUT s" && rc=$EXIT_TIMEOUT
	else
		say "the guest ended without a status" && rc=$EXIT_LOST
	fi
	if splats "$GUEST_LOG" >&2; then
		say "kernel splat; the command's status was ${GUEST_STATUS:-unknown}"
		[ "$rc" = "$EXIT_PANIC" ] || [ "$rc" = "$EXIT_TIMEOUT" ] || rc=$EXIT_SPLAT
	fi
	say "console: $GUEST_LOG"
	return "$rc"
}

# pick_accel K F: KVM only after a probe boot got this very kernel to a command
# on this boot of the host; what it found is kept beside the kernel.
pick_accel()
{
	local obj=$TREES/$1-$2 key verdict=tcg
	[ -z "$ACCEL" ] || return 0
	ACCEL=tcg
	[ -z "$ICOUNT" ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 0
	key="$(cat /proc/sys/kernel/random/boot_id) $(sha256sum <"$obj/arch/x86/boot/bzImage")"
	if [ "$(head -n 1 "$obj/.kvm" 2>/dev/null)" != "$key" ]; then
		! "$TOP/lab" boot "$1" "$2" --accel kvm --timeout 60 -- true >/dev/null 2>&1 ||
			verdict=kvm
		printf '%s\n' "$key" $verdict >"$obj/.kvm"
	fi
	ACCEL=$(tail -n 1 "$obj/.kvm")
}

# new_control: the directory that host and guest talk through.
new_control()
{
	temp_dir CONTROL "$BUILD"
	: >"$CONTROL/output"
	[ ${#COMMAND[@]} = 0 ] || printf '%s\0' "${COMMAND[@]}" >"$CONTROL/argv"
	mkdir -p "$LOGS"
	GUEST_LOG=$(mktemp "$LOGS/boot-$1-$2-$(date +%H%M%S)-XXXX.log")
	GUEST_START=$SECONDS
}

# run_guest K F: boot, wait for the command, stream its output.
run_guest()
{
	new_control "$1" "$2"
	qemu_args "$1" "$2" -serial "file:$GUEST_LOG"
	in_group timeout -k 5 "$TIMEOUT" "${QEMU[@]}" </dev/null >"$CONTROL/qemu" 2>&1
	while [ ! -e "$CONTROL/up" ] && kill -0 "$GROUP" 2>/dev/null; do
		sleep 0.1
	done
	[ ! -e "$CONTROL/up" ] || say "booted in $((SECONDS - GUEST_START)) s"
	tail -c +1 -s 0.1 --pid="$GROUP" -f "$CONTROL/output" 2>/dev/null &
	wait $!
	wait_group || [ $? = 124 ] || cat "$CONTROL/qemu" >&2
	verdict
}

# guest_boot K F OPTION... -- COMMAND...: what every command that needs a guest
# calls, on a kernel and an image that are there. Afterwards GUEST_STATUS and
# GUEST_LOG tell more than the exit status, and CONTROL is still there.
guest_boot()
{
	local rc=0
	parse_boot "${@:3}"
	lab_lock "$1-$2" -s
	pick_accel "$1" "$2"
	say "booting $1 $2 ($([ "$ACCEL" = kvm ] && echo KVM || echo emulation))"
	run_guest "$1" "$2" || rc=$?
	lab_unlock "$1-$2"
	return $rc
}

cmd_boot()
{
	[ $# -ge 2 ] || die "usage: lab boot K F [OPTION]... -- COMMAND..."
	check_kernel "$1" "$2"
	parse_boot "${@:3}"
	[ ${#COMMAND[@]} -gt 0 ] || die "no command (it comes after --)"
	need_packages
	need_image
	build_kernel "$1" "$2"
	guest_boot "$@"
}
