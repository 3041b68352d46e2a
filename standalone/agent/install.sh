#!/bin/sh
# Lets systemd run this checkout as a node, from now on and at every boot:
#   sh standalone/agent/install.sh --api URL --join TOKEN [--address A] [--http-port P] [--data-dir D]
# The options mean what they mean to `npm run agent`. Asks nothing; may be run again.
set -eu

unit=/etc/systemd/system/waybill-node.service
settings=/etc/waybill/node.env
patience=${WAYBILL_INSTALL_PATIENCE:-900}

root=$(cd "$(dirname "$0")/../.." && pwd)
# What a host was told before stands until it is told otherwise.
data=$(sed -n 's/^WAYBILL_DATA_DIR=//p' "$settings" 2>/dev/null || true)
data=${data:-/var/lib/waybill}
lines=
names=none
wrong=
complain() {
  wrong="$wrong
waybill: $1"
}

while [ $# -gt 0 ]; do
  case "$1" in
    --api) name=WAYBILL_API_URL ;;
    --join) name=WAYBILL_JOIN_TOKEN ;;
    --address) name=WAYBILL_NODE_ADDRESS ;;
    --http-port) name=WAYBILL_HTTP_PORT ;;
    --data-dir) name=WAYBILL_DATA_DIR ;;
    *)
      complain "there is no option $1."
      shift
      continue
      ;;
  esac
  # It goes into a file that systemd reads by rules of its own.
  case "${2:-}" in
    "" | -*) complain "$1 needs a value." ;;
    *[!A-Za-z0-9:/._-]*) complain "$1 holds a character that no such value has." ;;
    *)
      lines="$lines$name=$2
"
      names="$names|$name"
      if [ "$name" = WAYBILL_DATA_DIR ]; then data=$2; fi
      ;;
  esac
  shift
  [ $# -eq 0 ] || shift
done

lines="$(grep -Ev "^($names)=" "$settings" 2>/dev/null || true)
$lines"

case "$data" in
  /*) ;;
  *) complain "--data-dir must be an absolute path." ;;
esac
case "$root" in
  *[!A-Za-z0-9/._-]*) complain "the checkout's path, $root, holds a character that a unit cannot." ;;
esac
[ "$(id -u)" = 0 ] || complain "this needs root: it runs containers and their network."
[ -d /run/systemd/system ] || complain "systemd does not run here: use \"npm run agent\" instead."
command -v npm >/dev/null || complain "npm is missing: install Node.js 18 or newer with npm."
case "$(node --version 2>/dev/null)" in
  "" | v[0-9].* | v1[0-7].*) complain "Node.js is missing or too old: install 18 or newer with npm." ;;
esac
case "$lines" in
  *WAYBILL_API_URL=*) ;;
  *) [ -e "$data/host.json" ] || complain "say where the api is, with --api URL." ;;
esac
case "$lines" in
  *WAYBILL_JOIN_TOKEN=*) ;;
  *) [ -e "$data/host.json" ] || complain "give this host a token, with --join TOKEN." ;;
esac
if [ -n "$wrong" ]; then
  echo "${wrong#?}" >&2
  exit 1
fi

mkdir -p "$(dirname "$settings")"
(umask 077 && printf '%s' "$lines" | grep . >"$settings.new" || true)
mv "$settings.new" "$settings"
if [ -e "$data/node-agent/node.json" ]; then known=yes; else known=; fi
sed -e "s|@ROOT@|$root|g" -e "s|@DATA@|$data|g" "$root/standalone/agent/waybill-node.service" >"$unit"
systemctl daemon-reload
systemctl enable waybill-node
# What it says is shown as it comes: the first time, packages take minutes.
journalctl --unit waybill-node --since "@$(date +%s)" --follow --output cat &
follower=$!
trap 'kill "$follower" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM HUP

give_up() {
  # What was said last may still be on its way.
  sleep 1
  echo "waybill: $1; why is said above. It goes on trying: mend that and type this command again," >&2
  echo "with a new token where the token is at fault, or \"systemctl disable --now waybill-node\"." >&2
  exit 1
}

systemctl restart waybill-node || give_up "this host's unit does not start"
seconds=0
until [ -e "$data/node-agent/node.json" ]; do
  # systemd counts anew from every `systemctl restart`.
  case "$(systemctl show --property NRestarts --value waybill-node)" in
    "" | 0) ;;
    *) give_up "this host has not joined" ;;
  esac
  if [ "$seconds" -ge "$patience" ]; then give_up "this host has not joined in $seconds s"; fi
  sleep 1
  seconds=$((seconds + 1))
done
if [ -n "$known" ]; then
  echo "This host had joined before, and starts again: \"journalctl -u waybill-node\" tells how it is;"
else
  echo "This host has joined. \"systemctl status waybill-node\" tells how it is;"
fi
elsewhere=
if [ "$data" != /var/lib/waybill ]; then elsewhere=" --data-dir $data"; fi
echo "\"npm run agent -- down$elsewhere\" in $root stops everything that runs on it."
