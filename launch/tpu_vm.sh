#!/usr/bin/env bash
# A run on a TPU slice of Compute Engine: make it, install, run on all of its hosts, delete it.
#
#   export TPU_NAME=mae TPU_ZONE=us-west4-a TPU_TYPE=v5litepod-16 TPU_VERSION=v2-alpha-tpuv5-lite
#   launch/tpu_vm.sh create              (TPU_SPOT=yes: cheaper, and taken away at any time)
#   launch/tpu_vm.sh setup               copies what git knows of, and installs it
#   launch/tpu_vm.sh run python -m pretrainjax.pretrain --config=... --workdir=... --data_dir=...
#   launch/tpu_vm.sh ssh 'ls pretrainjax'
#   launch/tpu_vm.sh delete
#
# `launch/tpu_vm.sh --dry-run COMMAND ...` prints what it would do. --workdir and --data_dir must be
# folders that all hosts see (Filestore mounted on each). The status is that of gcloud; after a
# preemption: delete, create, setup, and the same `run` again, which continues.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' launch/tpu_vm.sh >&2
  exit 2
}

execute() {
  if [ "$dry_run" = yes ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# The same on all hosts at once; one that fails makes the whole fail.
everywhere() {
  execute "${tpu[@]}" ssh "$TPU_NAME" "${where[@]}" --worker=all --command="$1"
}

dry_run=no
if [ "${1:-}" = --dry-run ]; then
  dry_run=yes
  shift
fi
[ $# -gt 0 ] || usage
verb=$1
shift

for variable in TPU_NAME TPU_ZONE; do
  if [ -z "${!variable:-}" ]; then
    echo "launch/tpu_vm.sh: \$$variable: found nothing, expected the slice's name or zone" >&2
    exit 2
  fi
done
tpu=(gcloud compute tpus tpu-vm)
where=(--zone="$TPU_ZONE")
if [ -n "${TPU_PROJECT:-}" ]; then
  where+=(--project="$TPU_PROJECT")
fi

case $verb in
  create)
    spot=()
    if [ "${TPU_SPOT:-no}" = yes ]; then
      spot=(--spot)
    fi
    execute "${tpu[@]}" create "$TPU_NAME" "${where[@]}" "${spot[@]}" \
      --accelerator-type="${TPU_TYPE:-v5litepod-16}" --version="${TPU_VERSION:-v2-alpha-tpuv5-lite}"
    ;;
  setup)
    archive=/tmp/pretrainjax.tar.gz
    execute git archive --prefix=pretrainjax/ --output="$archive" HEAD
    execute "${tpu[@]}" scp "$archive" "$TPU_NAME:$archive" "${where[@]}" --worker=all
    everywhere "tar -xzf $archive && python3 -m venv venv && venv/bin/pip install -q -e 'pretrainjax[tpu]'"
    ;;
  run)
    [ $# -gt 0 ] || usage
    # JAX asks the slice who the other hosts are; notices of maintenance and preemption become SIGTERM.
    everywhere "cd pretrainjax && PATH=\$HOME/venv/bin:\$PATH launch/environment.sh python launch/on_notice.py -- $(printf '%q ' "$@")--distributed=on"
    ;;
  ssh) everywhere "$*" ;;
  status) execute "${tpu[@]}" describe "$TPU_NAME" "${where[@]}" --format='value(state,health)' ;;
  delete) execute "${tpu[@]}" delete "$TPU_NAME" "${where[@]}" --quiet ;;
  *)
    echo "launch/tpu_vm.sh: found '$verb', expected create, setup, run, ssh, status or delete" >&2
    exit 2
    ;;
esac
