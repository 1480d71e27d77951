#!/usr/bin/env bash
# A server whose queue is bounded, for a minute under ten times of what it can serve; see
# src/app/commands/bench/overload.cc for what must hold. Not part of CI.
# tests/e2e/overload.sh BANYAN_BINARY [MODEL] [QUEUED REQUESTS] [further flags of bench overload]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
banyan=${1:?the banyan binary}
model=${2:-$root/build/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}
queued=${3:-4}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# The cache is small: all of its memory has been used before the overload begins.
"$banyan" serve --model-path "$model" --port "$port" --log-level warning --max-total-tokens 6k \
  --max-running-requests 8 --max-queued-requests "$queued" &
server=$!
trap 'kill $server' EXIT
until curl -sf -o /dev/null "http://127.0.0.1:$port/ready"; do sleep 0.05; done
"$banyan" bench overload --base-url "http://127.0.0.1:$port" --server-pid $server "${@:4}"
