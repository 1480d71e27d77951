#!/usr/bin/env bash
# HTTP front end under load with the echo model: requests a second (wrk) and events a second (many
# streams at once). tests/e2e/load.sh BANYAN_BINARY [seconds]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
banyan=${1:?the banyan binary}
seconds=${2:-5}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$banyan" serve --model-path echo --port "$port" --log-level warning &
trap 'kill %1' EXIT
until curl -sf -o /dev/null "http://127.0.0.1:$port/ready"; do sleep 0.05; done
for path in /v1/models /generate; do
  BODY=$([ $path = /generate ] && echo '{"input_ids":[1,2,3],"sampling_params":{"max_new_tokens":1}}') \
    wrk -t1 -c32 -d"${seconds}s" -s "$here/load.lua" "http://127.0.0.1:$port$path" |
    awk -v path=$path '/Requests\/sec/ {print path ": " $2 " requests/s"} /Non-2xx/ {print; exit 1}'
done
python3 "$here/events.py" "$port" "$seconds"
