#!/usr/bin/env python3
"""Reads fields.def and writes fields_table.h: every name in lower case, and a perfect hash over them.

The hash is field_hash() of fields.c; both must stay the same (a test asks for every row)."""
import re
import sys

SLOTS_LOG2 = 9
MASK64 = (1 << 64) - 1
WIDTH = 32  # bytes a name has in the table


def load(name, at, n):
    return int.from_bytes(name[at:at + n], "little")


def key(name):
    n = len(name)
    if n >= 8:
        a, b = load(name, 0, 8), load(name, n - 8, 8)
    elif n >= 4:
        a, b = load(name, 0, 4), load(name, n - 4, 4)
    else:
        a, b = load(name, 0, 2), load(name, n - 2, 2)
    fold = 0x2020202020202020
    return ((a | fold) + 3 * (b | fold) + n) & MASK64


def slot(name, factor):
    return ((key(name) * factor) & MASK64) >> (64 - SLOTS_LOG2)


def find_factor(names):
    factor = 0x9E3779B97F4A7C15
    for _ in range(1000000):
        if len({slot(name, factor) for name in names}) == len(names):
            return factor
        factor = (factor * 6364136223846793005 + 1442695040888963407) & MASK64 | 1
    sys.exit("fields.def: no perfect hash found; raise SLOTS_LOG2")


def main(source, out):
    with open(source, encoding="ascii") as file:
        names = [m.lower().encode() for m in re.findall(r'^FIELD\(\w+,\s*"([^"]+)"', file.read(), re.M)]
    if len(set(names)) != len(names) or len(names) > 254 or not all(2 <= len(n) <= WIDTH for n in names):
        sys.exit("fields.def: a name is there twice, shorter than 2 or longer than %d bytes" % WIDTH)
    factor = find_factor(names)
    slots = [0] * (1 << SLOTS_LOG2)
    for i, name in enumerate(names):
        slots[slot(name, factor)] = i + 1
    with open(out, "w", encoding="ascii") as file:
        file.write("/* Made from fields.def by fields_gen.py. */\n")
        file.write("#define FIELD_HASH_FACTOR 0x%016xu\n#define FIELD_SLOTS_LOG2 %d\n" % (factor, SLOTS_LOG2))
        file.write("#define FIELD_NAME_WIDTH %d\n#define FIELD_ROWS %d\n" % (WIDTH, len(names)))
        file.write("static const uint8_t field_slots[] = {\n%s};\n" % "".join(
            "    %s,\n" % ", ".join(map(str, slots[i:i + 16])) for i in range(0, len(slots), 16)))
        rows = [b""] + names
        file.write("static const uint8_t field_lower[][FIELD_NAME_WIDTH] = {\n%s};\n" % "".join(
            "    { %s },\n" % ", ".join(map(str, row.ljust(WIDTH, b"\0"))) for row in rows))
        # What may differ from the lower-case byte: 0x20 where it is a letter.
        file.write("static const uint8_t field_case[][FIELD_NAME_WIDTH] = {\n%s};\n" % "".join(
            "    { %s },\n" % ", ".join("32" if chr(c).isalpha() else "0" for c in row.ljust(WIDTH, b"\0"))
            for row in rows))
        file.write("static const uint8_t field_length[] = { %s };\n" % ", ".join(str(len(r)) for r in rows))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
