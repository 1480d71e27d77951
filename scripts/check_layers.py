#!/usr/bin/env python3
"""Holds the sources against docs/design.md section 2: who may include whom, and what may stand where."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

LAYERS = ("base tensor device cache text ops kernels comm weights nn models sched run engine diffusion serve gateway app").split()

# Beyond the order: these never see these.
NEVER = {
    "cache": {"ops", "kernels", "device"},
    "text": {"tensor", "device", "cache", "ops", "kernels"},
    "sched": {"ops", "kernels", "device", "weights", "nn", "models"},
    "serve": {"ops", "kernels", "device", "weights", "nn", "models", "run"},
    "ops": {"text"},
    "kernels": {"text"},
    "weights": {"text"},
    "nn": {"text"},
    "models": {"text"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
BACKEND_IF = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*(?:CUDA|GPU|NCCL)", re.M)
BUILD_MACROS = re.compile(r"^\s*#\s*(?:if|ifdef|elif)\b.*\b(?:__AVX|__AMX)", re.M)
RULES = (
    # pattern, where it may stand, what is wrong
    (re.compile(r"\bgetenv\s*\("), ("engine/config", "app/"), "getenv stands in engine/config only"),
    (re.compile(r"\bstd::j?thread\b(?!::)"), ("base/thread_pool", "engine/", "run/executor", "serve/http", "serve/fake_engine", "app/commands/bench"),
     "threads are created in base/thread_pool, engine/, the executor and serve/http only"),
    (re.compile(r"\b(?:TODO|FIXME|XXX)\b"), (), "unfinished work is an issue, not a comment"),
)
MAX_LINES = 800


def problems_of(path):
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(SRC).as_posix()
    layer = name.split("/")[0]
    test = re.search(r"_(test|fuzz|bench)\.cc$", name) is not None
    if layer not in LAYERS:
        yield f"folder src/{layer} is not a layer of docs/design.md"
        return
    for included in INCLUDE.findall(text):
        other = included.split("/")[0]
        if other not in LAYERS:
            if not (SRC / included).exists() and "/" in included and (path.parent / included).exists():
                yield f'include "{included}" is relative: name it from src/'
            continue
        if LAYERS.index(other) > LAYERS.index(layer) and not test:
            yield f"includes {included}, of a layer below"
        if other in NEVER.get(layer, ()) and not test:
            yield f"includes {included}, which {layer}/ never sees"
    if path.suffix == ".h" and re.search(r"^\s*using namespace\b", text, re.M):
        yield "using namespace in a header"
    if path.suffix == ".h" and "#pragma once" not in text:
        yield "no #pragma once"
    if not text.startswith("// SPDX-License-Identifier: Apache-2.0"):
        yield "does not begin with the SPDX line"
    if layer not in ("device", "kernels") and BACKEND_IF.search(text):
        yield "preprocessor test for a backend outside device/ and kernels/"
    if layer != "kernels" and BUILD_MACROS.search(text):
        yield "preprocessor test for a CPU feature outside kernels/: levels are chosen at run time"
    if layer != "kernels" and text.count("\n") > MAX_LINES:
        yield f"has {text.count(chr(10))} lines, more than {MAX_LINES}"
    if not test:
        for pattern, places, what in RULES:
            if pattern.search(text) and not name.startswith(tuple(places)):
                yield what


def main():
    count = 0
    files = sorted(path for path in SRC.rglob("*") if path.suffix in (".cc", ".h"))
    for path in files:
        for problem in problems_of(path):
            count += 1
            print(f"{path.relative_to(ROOT)}: {problem}")
    print(f"layers and rules: {len(files)} files, {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
