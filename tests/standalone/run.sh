#!/usr/bin/env bash
# The binary needs nothing but libc: ldd shows only libc, libm and the loader, and it answers with a token from a root folder that holds
# only those, the binary and a model.
#   run.sh BANYAN
set -euo pipefail
banyan=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)

foreign=$(ldd "$banyan" | awk '{print $1}' | grep -v -E '^(linux-vdso\.so\.1|libc\.so\.6|libm\.so\.6|/lib64/ld-linux-x86-64\.so\.2)$' || true)
if [ -n "$foreign" ]; then
  echo "the binary needs more than libc, libm and the loader: $foreign"
  exit 1
fi
newest=$(objdump -T "$banyan" | grep -o 'GLIBC_2\.[0-9]*' | sort -V -u | tail -n 1)
if [ "$(printf '%s\n' GLIBC_2.36 "$newest" | sort -V | tail -n 1)" != GLIBC_2.36 ]; then
  echo "the binary needs $newest, newer than glibc 2.36"
  exit 1
fi

model=$root/build/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$model" ]; then
  echo "skipped: no model at $model (scripts/setup gets it)"
  exit 77
fi
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
mkdir -p "$sandbox/lib64"
cp "$banyan" "$sandbox/banyan"
ldd "$banyan" | grep -o '/[^ ]*' | while read -r library; do
  mkdir -p "$sandbox$(dirname "$library")"
  cp -L "$library" "$sandbox$library"
done
ln "$model" "$sandbox/model.gguf" 2>/dev/null || cp "$model" "$sandbox/model.gguf"

enter=(chroot)
if [ "$(id -u)" -ne 0 ]; then
  unshare -r true 2>/dev/null || { echo "skipped: entering a root folder needs root or user namespaces"; exit 77; }
  enter=(unshare -r chroot)
fi
answer=$("${enter[@]}" "$sandbox" /banyan generate --model-path /model.gguf --max-new-tokens 8 --temperature 0 "The capital of France is")
echo "answer: $answer"
[ -n "$answer" ]
