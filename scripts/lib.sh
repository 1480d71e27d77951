# Shared by the scripts of this folder: where things are, how a step is shown, how a failure is told.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
jobs=${BANYAN_JOBS:-$(nproc)}

# Exit status of a failure that lies outside the project: a package registry that refuses, a missing permission.
readonly kOutside=75

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
outside() {
  printf 'OUTSIDE FAILURE (not a failing test): %s\n' "$*" >&2
  exit "$kOutside"
}

# step TITLE COMMAND...: runs it quietly with a title, its time, and its output only when it fails.
step() {
  local title=$1 log start status=0
  shift
  log=$(mktemp)
  start=$SECONDS
  printf '  %-46s ' "$title" >&2
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    printf 'done in %ss\n' "$((SECONDS - start))" >&2
  else
    printf 'FAILED after %ss\n' "$((SECONDS - start))" >&2
    tail -n 40 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}
