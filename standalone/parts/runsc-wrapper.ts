/**
 * A program that lets runc's shim run pods with gVisor's runsc, since Debian has no shim of gVisor's own.
 *
 * The shim takes a container for one process, the one in the pid file. To runsc all containers of a pod
 * are the pod's sandbox: so each of them but the first gets a stand-in, a process that ends when the
 * container does, with its code. It also keeps the container's output, which runsc wants at the start
 * and the shim gives when it is made. Pure.
 */
export function runscWrapper(runsc: string): string {
  return `#!/bin/sh
# Written by Waybill: lets runc's shim run pods with gVisor.
runsc="${runsc} --network=host --platform=ptrace"

# The process that the shim takes for a container, in the control groups of the sandbox.
if [ "\${1-}" = --stand-in ]; then
  root=$2 sandbox=$3 id=$4
  while IFS=: read -r _ group path; do
    for folder in "/sys/fs/cgroup/\${group#name=}$path" "/sys/fs/cgroup/unified$path"; do
      [ -w "$folder/cgroup.procs" ] && echo $$ >"$folder/cgroup.procs"
    done
  done <"/proc/$sandbox/cgroup"
  tries=5
  # Nothing can be waited for before it is started; one that has ended meanwhile still tells how.
  until ended=$($runsc --root "$root" wait "$id" 2>/dev/null); do
    case $($runsc --root "$root" state "$id" 2>/dev/null) in
      *'"status": "created"'* | *'"status": "running"'*) ;;
      *) tries=$((tries - 1)) ;;
    esac
    [ $tries -gt 0 ] || exit 137
    sleep 0.1
  done
  code=\${ended##*'"exitStatus":'}
  exit "\${code%%[!0-9]*}"
fi

verb= root= bundle= pid_file= last=
for word in "$@"; do
  case $last in
    --root) root=$word ;;
    --bundle) bundle=$word ;;
    --pid-file) pid_file=$word ;;
  esac
  case $word in create | start | kill) verb=\${verb:-$word} ;; esac
  last=$word
done
stand_ins=$root/stand-ins

case $verb in
  create)
    $runsc "$@" || exit
    if grep -q '"io.kubernetes.cri.container-type":"container"' "$bundle/config.json"; then
      sandbox=$(cat "$pid_file")
      # At numbers that a shell leaves alone while it redirects.
      exec 7<&0 8>&1 9>&2
      "$0" --stand-in "$root" "$sandbox" "$last" </dev/null >/dev/null 2>&1 &
      mkdir -p "$stand_ins"
      printf %s $! >"$stand_ins/$last"
      printf %s $! >"$pid_file"
    fi
    ;;
  start)
    # The shim waits for the end of what it gives the start itself, which must not be the container's.
    if [ -e "$stand_ins/$last" ]; then
      output=/proc/$(cat "$stand_ins/$last")/fd
      rm -f "$stand_ins/$last"
      exec $runsc "$@" <"$output/7" >"$output/8" 2>"$output/9"
    fi
    exec $runsc "$@" </dev/null >/dev/null 2>&1
    ;;
  kill)
    # The shim knows these words for one that has ended already, and no others.
    words=$($runsc "$@" 2>&1) && exit
    case $words in *"is not running"*) words="container not running" ;; esac
    echo "$words" >&2
    exit 1
    ;;
  *) exec $runsc "$@" ;;
esac
`;
}
