#!/usr/bin/env bash
# A SLURM cluster of one machine, for tests: its own munged, slurmctld and slurmd, all below one folder.
#
#   tests/slurm/cluster.sh up FOLDER      starts it, and prints the settings for `export`
#   tests/slurm/cluster.sh down FOLDER    stops it
#
# Touches nothing of a SLURM that is configured here: other ports, other sockets, other files. Needs
# root, as slurmd does. Exit status 77 says that SLURM is not installed: apt-get install slurm-wlm munge
set -euo pipefail

need() {
  for program in slurmctld slurmd sbatch munged; do
    if ! PATH=$PATH:/usr/sbin command -v $program >/dev/null; then
      echo "tests/slurm/cluster.sh: no $program here: apt-get install slurm-wlm munge" >&2
      exit 77
    fi
  done
  if [ "$(id -u)" != 0 ]; then
    echo "tests/slurm/cluster.sh: needs root, to start slurmd" >&2
    exit 77
  fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

configure() {
  mkdir -p "$folder/state" "$folder/spool"
  chmod 755 "$folder"
  dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
  chmod 400 "$folder/munge.key"
  cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# No cgroups in a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
# Or a node with fewer cores than it claims is "invalid".
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

up() {
  need
  configure
  # --force: of a folder whose parents others may write.
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
  slurmctld -c -f "$folder/slurm.conf"
  slurmd -c -N localhost -f "$folder/slurm.conf"
  for _ in $(seq 60); do
    if SLURM_CONF="$folder/slurm.conf" sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
      echo "SLURM_CONF=$folder/slurm.conf"
      return
    fi
    sleep 0.5
  done
  echo "tests/slurm/cluster.sh: the node did not come up in 30 s; logs:" >&2
  tail -n 20 "$folder"/*.log >&2
  exit 1
}

# Waits for what it ends: a cluster started in the same place next would find its jobs.
down() {
  if [ -f "$folder/slurm.conf" ]; then
    export SLURM_CONF="$folder/slurm.conf"
    scancel --signal=KILL --full --user=root --quiet || true
    scancel --user=root --quiet || true
    for _ in $(seq 60); do
      [ -n "$(squeue --noheader 2>/dev/null)" ] || break
      sleep 0.5
    done
  fi
  for daemon in slurmd slurmctld munged; do
    [ -f "$folder/$daemon.pid" ] || continue
    id=$(cat "$folder/$daemon.pid")
    kill "$id" 2>/dev/null || continue
    for _ in $(seq 60); do
      grep -q '^State:\s*[^Z]' "/proc/$id/status" 2>/dev/null || break # gone, or nobody's zombie
      sleep 0.5
    done
  done
}

PATH=$PATH:/usr/sbin
folder=$(realpath -m "${2:?expected up FOLDER or down FOLDER}")
case $1 in
  up) up ;;
  down) down ;;
  *) echo "tests/slurm/cluster.sh: found '$1', expected up or down" >&2 && exit 2 ;;
esac
