#!/usr/bin/env bash
# HTTP front end under load with the echo model: requests a second (wrk) and events a second (many
# streams at once). tests/e2e/load.sh BANYAN_BINARY [seconds]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
banyan=${1:?the banyan binary}
seconds=${2:-5}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
template=$(mktemp)
echo '{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}' >"$template"
"$banyan" serve --model-path echo --chat-template "$template" --port "$port" --log-level warning &
trap 'kill %1; rm "$template"' EXIT
until curl -sf -o /dev/null "http://127.0.0.1:$port/ready"; do sleep 0.05; done
load() { # path, body
  BODY=$2 wrk -t1 -c32 -d"${seconds}s" --latency -s "$here/load.lua" "http://127.0.0.1:$port$1" |
    awk -v path="$1" '/99%/ {late = $2} /Non-2xx/ {bad = $0}
      /Requests\/sec/ {print path ": " $2 " requests/s, 99 % within " late} END {if (bad) {print bad; exit 1}}'
}
load /v1/models ""
load /generate '{"input_ids":[1,2,3],"sampling_params":{"max_new_tokens":1}}'
load /v1/completions '{"prompt":"Once upon a time","max_tokens":1}'
load /v1/chat/completions '{"messages":[{"role":"user","content":"Once upon a time"}],"max_tokens":1}'
python3 "$here/events.py" "$port" "$seconds"
