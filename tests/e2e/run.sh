#!/usr/bin/env bash
# The end-to-end tests: tests/e2e/run.sh BANYAN_BINARY [pytest arguments]. Needs a Python with scripts/requirements.txt, as
# scripts/setup makes one in build/venv; without it, exits 77 (skipped).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
BANYAN=$(realpath "${1:?the banyan binary}")
export BANYAN
shift
[ -d "$root/build/venv/bin" ] && export PATH="$root/build/venv/bin:$PATH"
python3 -c 'import msgspec, openai, pytest, zmq' 2>/dev/null || {
  echo "skipped: msgspec, openai, pytest or zmq is not installed: pip install -r $root/scripts/requirements.txt"
  exit 77
}
exec python3 -B -m pytest -q -p no:cacheprovider "$here" "$@"
