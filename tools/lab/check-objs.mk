# SPDX-License-Identifier: GPL-2.0
# make -C OBJDIR -f check-objs.mk srctree=.. SRCARCH=x86 obj=fs/ext4
# prints what the configuration in OBJDIR builds in the kernel directory obj:
# its objects, and its subdirectories with a slash at the end.

src := $(srctree)/$(obj)
obj-y :=
obj-m :=
lib-y :=
lib-m :=
subdir-y :=
subdir-m :=

include include/config/auto.conf
include $(srctree)/scripts/Kbuild.include
include $(srctree)/scripts/Makefile.compiler
include $(kbuild-file)
include $(srctree)/scripts/Makefile.lib

.DEFAULT_GOAL := lab-objs
.PHONY: lab-objs
lab-objs:
	@printf '%s\n' $(real-obj-y) $(real-obj-m) $(lib-y) $(addsuffix /,$(subdir-ym))
