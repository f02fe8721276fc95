#!/usr/bin/env python3
"""Turns dashboard.html into a C string, with the hashes of its script and style for Content-Security-Policy."""
import base64
import hashlib
import re
import sys


def hash_of(page, tag):
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    if len(found) != 1:
        sys.exit(f"dashboard.html: exactly one <{tag}> is needed, found {len(found)}")
    return base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()


def c_line(line):
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") + '\\n"'


def main(source, out):
    with open(source, encoding="utf-8") as file:
        page = file.read()
    if not page.isascii():
        sys.exit("dashboard.html: plain ASCII only; write entities")
    with open(out, "w", encoding="utf-8") as file:
        file.write(f'#define DASHBOARD_SCRIPT_HASH "{hash_of(page, "script")}"\n')
        file.write(f'#define DASHBOARD_STYLE_HASH "{hash_of(page, "style")}"\n')
        file.write("static const char dashboard_page[] =\n")
        file.write("\n".join("    " + c_line(line) for line in page.split("\n")[:-1]) + ";\n")


main(sys.argv[1], sys.argv[2])
