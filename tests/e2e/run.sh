#!/usr/bin/env bash
# The end-to-end tests: tests/e2e/run.sh BANYAN_BINARY [pytest arguments]. Needs a Python with
# tests/e2e/requirements.txt on the PATH; without it, exits 77 (skipped).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export BANYAN=${1:?the banyan binary}
shift
python3 -c 'import openai, pytest' 2>/dev/null || { echo "openai and pytest are not installed: pip install -r $here/requirements.txt"; exit 77; }
exec python3 -m pytest -q -p no:cacheprovider "$here" "$@"
