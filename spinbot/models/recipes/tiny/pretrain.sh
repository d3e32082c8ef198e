#!/bin/bash
# The embedded image model from nothing, or on from wherever it was stopped.  usage: pretrain.sh WORK_DIR [PYTHON]
# What each step has finished is in WORK_DIR; SIGTERM ends at a checkpoint, the same command goes on from it. `cargo xtask pretrain` calls this.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?usage: pretrain.sh WORK_DIR [PYTHON]}
python=${2:-python3}
threads=${THREADS:-1}
export OMP_NUM_THREADS=$threads
mkdir -p "$work"
work=$(cd "$work" && pwd)

# A run that was stopped ends with code 143, which ends this script too (set -e).
# bash runs a trap only when its child has ended: hand the signal on and wait for the child's checkpoint.
step() {
  "$@" &
  child=$!
  trap 'kill -TERM "$child"; wait "$child" || true; exit 143' TERM INT
  wait "$child"
  trap - TERM INT
}

[ -d "$here/node_modules" ] || (cd "$here" && npm ci --no-audit --no-fund)
step node "$here/draw/generate.mjs" "$work/portraits" --shards "${SHARDS:-20}"
[ -d "$work/vae/vae" ] || step "$python" "$here/train/train_vae.py" "$work/portraits" "$work/vae" --threads "$threads"
[ -f "$work/vae_f16/config.json" ] || step "$python" "$here/train/export.py" vae "$work/vae" "$work/portraits" "$work/vae_f16"
step "$python" "$here/train/train_unet.py" "$work/portraits" "$work/vae_f16" "$work/unet" --threads "$threads"
step "$python" "$here/train/export.py" model "$work/vae_f16" "$work/unet" "$work/model"
step node "$here/draw/generate.mjs" "$work/takes" --shards "${READER_SHARDS:-16}" --heldout 1024 --takes 4
[ -f "$work/portrait-reader.safetensors" ] || step "$python" "$here/train/train_reader.py" "$work/takes" "$work/reader" "$work/portrait-reader.safetensors" --threads "$threads"
step node "$here/draw/faces.mjs" "$work/faces" --shards "${FACES_SHARDS:-7}"
step "$python" "$here/train/redraw.py" "$work/faces" "$work/model" --threads "$threads"
[ -f "$work/drawn-faces.safetensors" ] || step "$python" "$here/train/train_points.py" "$work/faces" "$work/points" "$work/drawn-faces.safetensors" --threads "$threads"
echo "the model is in $work/model, the reader of portraits in $work/portrait-reader.safetensors, the finder of drawn faces in $work/drawn-faces.safetensors"
