#!/bin/sh
# What plugins/README.md tells a stranger to do must work: its plugin, and the template, are compiled in a folder of their own
# with nothing but the public header, and export one symbol.
# usage: readme.sh PLUGINS_README INCLUDE_DIR
set -eu
readme=$1
include=$2

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$include/weir" "$folder/weir"
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$readme" >"$folder/fresh.c"
cp "$(dirname "$readme")/template/template.c" "$folder/template.c"

cd "$folder"
for name in fresh template; do
    "${CC:-cc}" -std=gnu11 -Werror -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers \
        -shared -fPIC -fvisibility=hidden -I. "$name.c" -o "$name.so"
    symbols=$(nm -D --defined-only "$name.so" | awk '{ print $3 }')
    if [ "$symbols" != weir_plugin ]; then
        echo "$name.so exports: $symbols" >&2
        exit 1
    fi
done
