# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab shell: an interactive guest on this terminal. Ctrl-A X ends it.

cmd_shell()
{
	[ $# -ge 2 ] || die "usage: lab shell K F [OPTION]..."
	check_kernel "$1" "$2"
	parse_boot "${@:3}"
	[ ${#COMMAND[@]} = 0 ] || die "lab shell takes no command (lab boot does)"
	need_packages
	need_image
	build_kernel "$1" "$2"
	lab_lock "$1-$2" -s
	pick_accel "$1" "$2"
	new_control "$1" "$2"
	qemu_args "$1" "$2" -chardev "stdio,id=tty,mux=on,signal=off,logfile=$GUEST_LOG" \
		-serial chardev:tty -mon chardev=tty
	say "Ctrl-A X ends the guest, exit powers it off"
	"${QEMU[@]}"
	! grep -aEq -- "$SPLATS" "$GUEST_LOG" || say "the kernel had something to say, see $GUEST_LOG"
}
