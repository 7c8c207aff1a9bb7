#!/usr/bin/env bash
# SLURM on this one machine, for tests: munged, slurmctld and slurmd, with everything they write in one folder.
#
#   one_machine.sh [--install] start FOLDER     start it, and wait until the node takes jobs
#   one_machine.sh stop FOLDER                  cancel every job and end the three daemons
#
# After `start`, SLURM_CONF=FOLDER/slurm.conf is all that sbatch, squeue and the others need; a second `start` changes
# nothing. --install gets Debian's slurm-wlm and munge with apt-get where they are absent.
# It must be root who starts it, since munged and slurmd act for all users. Neither systemd nor cgroups are needed.
set -euo pipefail

readonly NEEDED=(munged slurmctld slurmd sbatch squeue scancel sinfo)
readonly DAEMONS=(slurmd slurmctld munged)
readonly PATIENCE_S=20
PATH="$PATH:/usr/sbin:/sbin"

fail() {
    echo "one_machine.sh: $*" >&2
    exit 1
}

absent() {
    local program
    for program in "${NEEDED[@]}"; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

# DAEMON: whether the process that its pid file names is that daemon, and lives (a zombie does not)
alive() {
    local pid name state
    pid="$(cat "$FOLDER/$1.pid" 2>/dev/null)" || return 1
    read -r _ name state _ 2>/dev/null <"/proc/$pid/stat" || return 1
    [[ "$name" == "($1)" && "$state" != Z ]]
}

# WHAT COMMAND: until the command succeeds
wait_until() {
    local what="$1" deadline=$((SECONDS + PATIENCE_S))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || fail "$what: not within $PATIENCE_S s; the logs are in $FOLDER"
        sleep 0.1
    done
}

# Two of the ports below those that the system gives to anyone who asks.
free_ports() {
    local port
    for port in $(shuf -i 20000-30000 -n 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || echo "$port"
    done | sed 2q | xargs
}

write_configuration() {
    local host memory_mib controller_port node_port
    host="$(hostname -s)"
    memory_mib="$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)"
    read -r controller_port node_port <<<"$(free_ports)"
    mkdir -p "$FOLDER/state" "$FOLDER/spool"
    [[ -s "$FOLDER/munge.key" ]] || (umask 077 && head -c 1024 /dev/urandom >"$FOLDER/munge.key")
    # config_overrides: four processors whatever the machine has, so that several jobs run at once anywhere
    cat >"$FOLDER/slurm.conf" <<CONFIGURATION
ClusterName=onemachine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
CredType=cred/munge
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
SlurmdLogFile=$FOLDER/slurmd.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=$memory_mib
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONFIGURATION
}

start_munged() {
    # --force: that only root may enter the folder is intended
    munged --force --socket="$FOLDER/munge.socket" --key-file="$FOLDER/munge.key" --pid-file="$FOLDER/munged.pid" \
        --seed-file="$FOLDER/munged.seed" --log-file="$FOLDER/munged.log" 2>"$FOLDER/munged.err" ||
        fail "munged did not start: $(cat "$FOLDER/munged.err")"
}

takes_jobs() {
    [[ "$(sinfo --noheader --format=%t 2>/dev/null)" =~ ^(idle|mix|alloc|comp)$ ]]
}

start() {
    [[ -z "$(absent)" ]] || fail "not found: $(absent | xargs); add --install, or: apt-get install slurm-wlm munge"
    if ! { alive munged && alive slurmctld && alive slurmd; }; then
        stop # what is left of an earlier start
        write_configuration
        start_munged
        slurmctld -c # knows of no job of an earlier start
        slurmd -c
    fi
    wait_until "the node takes jobs" takes_jobs
}

no_job() {
    [[ -z "$(squeue --noheader 2>/dev/null)" ]]
}

dead() {
    ! alive "$1"
}

stop() {
    local daemon
    if alive munged && alive slurmctld && alive slurmd; then
        squeue --noheader --format=%A | xargs --no-run-if-empty scancel
        wait_until "all jobs have ended" no_job
    fi
    for daemon in "${DAEMONS[@]}"; do
        if alive "$daemon"; then
            kill "$(cat "$FOLDER/$daemon.pid")"
            wait_until "$daemon has ended" dead "$daemon"
        fi
    done
}

install=no
if [[ "${1:-}" == --install ]]; then
    install=yes
    shift
fi
[[ $# == 2 && "$1" =~ ^(start|stop)$ ]] || fail "usage: one_machine.sh [--install] start FOLDER | stop FOLDER"
((EUID == 0)) || fail "only root can run SLURM"
if [[ "$install" == yes && -n "$(absent)" ]]; then
    apt-get update --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes slurm-wlm munge
fi
mkdir -p "$2"
FOLDER="$(cd "$2" && pwd)"
readonly FOLDER
export SLURM_CONF="$FOLDER/slurm.conf"
"$1"
