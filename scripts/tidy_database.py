#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes BUILD/tidy/compile_commands.json for clang-tidy: an entry for each file, also of those that are compiled several at
once, and none that needs a precompiled header, which not every target's build has made.

    scripts/tidy_database.py build/asan
"""
import json
import pathlib
import re
import sys

build = pathlib.Path(sys.argv[1])
entries = []
for entry in json.loads((build / "compile_commands.json").read_text()):
    command = re.sub(r" -Xclang -include-pch -Xclang \S+", "", entry["command"])
    unit = pathlib.Path(entry["file"])
    files = [entry["file"]]
    if "Unity" in unit.parts:
        files = re.findall(r'#include "(.*)"', unit.read_text())
    entries += [{**entry, "file": file, "command": command.replace(entry["file"], file)} for file in files]
(build / "tidy").mkdir(exist_ok=True)
(build / "tidy/compile_commands.json").write_text(json.dumps(entries))
