# shellcheck shell=bash disable=SC2154 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# A User-Mode Linux kernel: `linux`, usr/lib/modules, and its build tree.

step_uml() {
	local out=$1 tree=$1/build name src make
	name=$(basename "${out%-*}")
	src=$(readlink -f "$cache/source")
	make=("$tb/exec" nice -n 5 make -C "$src" O="$tree" ARCH=um)
	# Rust with KASAN wants clang, and clang needs help with the linking.
	[ "$name" != uml-debug ] || make+=(LLVM=1 KBUILD_LDS=arch/um/kernel/testbed.lds)
	# Where only options change, kbuild knows what has to be built anew.
	if [ ! -e "$tree" ] && [ -e "$cache/$name/build" ]; then
		rm -rf "$tree.tmp"
		cp -a "$cache/$name/build" "$tree.tmp"
		mv "$tree.tmp" "$tree"
	fi
	mkdir -p "$tree"
	uml_config "$name" >"$tree/wanted.new"
	if ! cmp -s "$tree/wanted.new" "$tree/wanted.config"; then
		"${make[@]}" KCONFIG_ALLCONFIG="$tree/wanted.new" alldefconfig
		mv "$tree/wanted.new" "$tree/wanted.config"
	fi
	for option in RUST KUNIT; do
		grep -qx "CONFIG_$option=y" "$tree/.config" || die "CONFIG_$option went off: see $tree/.config"
	done
	[ "$name" != uml-debug ] || uml_linker_script
	"${make[@]}" -j"$jobs"
	rm -rf "${out:?}/usr"
	"${make[@]}" INSTALL_MOD_PATH="$out/usr" modules_install
	cp "$tree/linux" "$out/linux"
	cp "$tree/include/config/kernel.release" "$out/release"
	rm -f "$out/usr/lib/modules/"*/build
}

# uml_linker_script: for step_uml. In UML's code model clang puts variables into
# .lbss, which the kernel's script does not know. Beyond _end, lockdep takes its
# keys for no kernel memory and switches itself off, and kmemleak looks for
# pointers in vain.
uml_linker_script() {
	local dir=$tree/arch/um/kernel
	"${make[@]}" arch/um/kernel/vmlinux.lds
	# kmemleak reads all between the two symbols: no hole may lie behind the first.
	sed 's/[*]([.]bss [.]bss/*(.lbss .lbss.*) &/; s/__bss_start = [.];/. = ALIGN(1 << 16); &/' \
		"$dir/vmlinux.lds" >"$dir/testbed.new"
	grep -q 'lbss' "$dir/testbed.new" || die "no .bss to add to in $dir/vmlinux.lds"
	cmp -s "$dir/testbed.new" "$dir/testbed.lds" || cp "$dir/testbed.new" "$dir/testbed.lds"
}

# uml_config NAME: all that kernel's wanted options, the later ones winning.
uml_config() {
	local names
	names=$(grep -v '^#' "$tb/config/from-stock" | paste -sd'|')
	grep -E "^CONFIG_($names)=[ymn0-9\"]" "$(readlink -f "$cache/image")/config"
	grep -v '^#' "$tb/config/uml"
	grep -v '^#' "$tb/config/$1"
}
