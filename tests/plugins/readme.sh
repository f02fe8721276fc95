#!/bin/sh
# What plugins/README.md tells a stranger to do must work: each plugin it shows, and the template, are compiled in a folder of their own by
# the README's own command, with what pkg-config says and nothing else of weir, and export one symbol. Once as if weir was installed, once
# from its build. The template's folder, copied out, is a project that builds.
# usage: readme.sh PLUGINS_README INCLUDE_DIR BUILD_DIR
set -eu
readme=$1
include=$2
build=$3
compiler="${CC:-cc} -Werror"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/usr/include/weir" "$folder/pkgconfig"
cp "$include/weir/plugin.h" "$folder/usr/include/weir/"
sed "s|^prefix=.*|prefix=$folder/usr|" "$build/meson-private/weir-plugin.pc" >"$folder/pkgconfig/weir-plugin.pc"

# The block of the README that begins with "```LANGUAGE NAME".
block() {
    awk -v begin="\`\`\`$1 $2" '$0 == begin { on = 1; next } /^```$/ { on = 0 } on' "$readme"
}

is_plugin() {
    symbols=$(nm -D --defined-only "$1" | awk '{ print $3 }')
    if [ "$symbols" != weir_plugin ]; then
        echo "$1 exports: $symbols" >&2
        exit 1
    fi
}

compile_all() {
    mkdir "$folder/$1"
    cd "$folder/$1"
    block c fresh.c >./fresh.c
    block c lag.c >./lag.c
    block c sticky.c >./sticky.c
    block c every.c >./every.c
    cp "$(dirname "$readme")/template/template.c" template.c
    block sh fresh.c >build.sh
    for name in fresh lag sticky every template; do
        test -s "$name.c" && test -s build.sh
        sed "s/fresh/$name/g; s|^cc |$compiler \${CFLAGS:-} |" build.sh >"build-$name.sh"
        PKG_CONFIG_PATH=$2 sh -eu "./build-$name.sh"
        is_plugin "$name.so"
        # with the warnings that it says may be on
        PKG_CONFIG_PATH=$2 CFLAGS="-Wextra -Wno-unused-parameter" sh -eu "./build-$name.sh"
    done
}

# Its test, too, and that passes.
run_test() {
    cd "$folder/$1"
    block c fresh_test.c >./fresh_test.c
    block sh fresh_test.c | sed "s|^cc |$compiler |" >test.sh
    test "$(PKG_CONFIG_PATH=$2 sh -eu ./test.sh)" = fine
}

# By its own meson.build.
build_template() {
    cp -r "$(dirname "$readme")/template" "$folder/$1-template"
    cd "$folder/$1-template"
    PKG_CONFIG_PATH=$2 meson setup --werror build >log && ninja -C build >>log || {
        cat log >&2
        exit 1
    }
    is_plugin build/template.so
}

compile_all installed "$folder/pkgconfig"
build_template installed "$folder/pkgconfig"
run_test installed "$folder/pkgconfig"
compile_all built "$build/meson-uninstalled"
build_template built "$build/meson-uninstalled"
