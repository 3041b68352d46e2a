#!/bin/sh
# Brings what a bare clone lacks: the npm packages, then the Debian packages. Asks nothing, and is
# done at once where nothing is missing. `setup.sh down` only makes sure that `npm run down` can run;
# `setup.sh test` also brings what only tests and benchmarks need; `setup.sh npm` brings the npm
# packages only, and `setup.sh agent` the Debian packages of a host that only runs pods.
set -eu

packages="postgresql redis-server docker-registry containerd runc containernetworking-plugins caddy
  buildah mmdebstrap catatonit busybox-static iproute2 iptables zip ca-certificates"
test_packages="skopeo runsc"
agent_packages="containerd runc containernetworking-plugins caddy iproute2 iptables ca-certificates"
# The services that these packages would run by themselves; Waybill starts its own.
services="postgresql redis-server docker-registry containerd caddy"
policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/waybill-setup.conf

cd "$(dirname "$0")/.."
log=$(mktemp)
worker_pid=
made_policy=
made_no_cluster=

clean_up() {
  rm -f "$log"
  if [ -n "$made_policy" ]; then rm -f "$policy"; fi
  if [ -n "$made_no_cluster" ]; then rm -f "$no_cluster"; fi
}
interrupted() {
  if [ -n "$worker_pid" ]; then
    kill "$worker_pid" 2>/dev/null || true
    wait "$worker_pid" 2>/dev/null || true
  fi
  exit 130
}
trap clean_up EXIT
trap interrupted INT TERM HUP

die() {
  echo "waybill: $1" >&2
  exit 1
}

# Runs a command with its output kept aside; says every 5 s that it goes on, and shows the end of
# the output where it fails.
run_showing_life() {
  seconds=0
  "$@" >"$log" 2>&1 </dev/null 9<&- &
  worker_pid=$!
  while kill -0 "$worker_pid" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    if [ $((seconds % 5)) -eq 0 ]; then
      echo "  still going ($seconds s) $(tail -n 1 "$log" | cut -c 1-100)"
    fi
  done
  if wait "$worker_pid"; then failed=; else failed=yes; fi
  worker_pid=
  if [ -n "$failed" ]; then
    tail -n 20 "$log" >&2
    return 1
  fi
}

# npm writes its own lock last: without it an installation was cut short.
npm_packages_are_missing() {
  [ ! -x node_modules/.bin/node ] || [ ! -e node_modules/.package-lock.json ]
}
npm_packages_are_old() {
  [ package-lock.json -nt node_modules/.package-lock.json ]
}

install_npm_packages() {
  # npm ci would empty the folder behind the link, which others may use.
  [ ! -L node_modules ] || die "node_modules is a link: install the npm packages where it leads."
  # npm puts this checkout's own Node.js first in PATH; npm ci takes that away under its feet.
  PATH=$(printf %s "$PATH" | tr : '\n' | grep -v /node_modules/ | tr '\n' : | sed 's/:$//')
  command -v npm >/dev/null || die "npm is missing: install Node.js 18 or newer with npm."
  echo "Installing the npm packages…"
  run_showing_life npm ci --include=dev --no-audit --no-fund --loglevel=error ||
    die "npm ci failed; its last lines are above."
  # An npm that runs no install scripts leaves the pinned Node.js out: run that one script.
  if ! node_modules/.bin/node --version >/dev/null 2>&1; then
    (cd node_modules/node && node installArchSpecificPackage.js) >/dev/null 2>&1 ||
      die "the pinned Node.js (npm package \"node\") could not be installed."
  fi
  echo "Installed the npm packages in $seconds s."
}

missing_packages() {
  # shellcheck disable=SC2086,SC2016
  installed=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' $packages 2>/dev/null || true)"
  for package in $packages; do
    case "$installed" in
      *" installed=$package "*) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

# Keeps Debian's own services from starting while packages are installed, unless somebody has
# already decided what may start on this machine.
hold_services() {
  # One of ours that a killed set-up left would keep every service of the machine from starting.
  if [ ! -e "$policy" ] || grep -q '^# made by waybill$' "$policy"; then
    printf '#!/bin/sh\n# made by waybill\nexit 101\n' >"$policy"
    made_policy=yes
    chmod 0755 "$policy"
  fi
  case " $1" in
    *" postgresql "*)
      if [ ! -e "$no_cluster" ] && [ ! -d /etc/postgresql ]; then
        mkdir -p "$(dirname "$no_cluster")"
        echo "create_main_cluster = false" >"$no_cluster"
        made_no_cluster=yes
      fi
      ;;
  esac
}

# What came with our packages must not start at the next boot either, with systemd or without.
disable_services_of() {
  for service in $services; do
    case " $1" in
      *" $service "*) ;;
      *) continue ;;
    esac
    if [ -d /run/systemd/system ]; then
      systemctl disable --now "$service" >/dev/null 2>&1 || true
    fi
    # What `systemctl disable` does, also where there is no systemctl yet.
    rm -f "/etc/systemd/system/multi-user.target.wants/$service.service"
    if [ -e "/etc/init.d/$service" ]; then
      update-rc.d "$service" disable >/dev/null 2>&1 || true
    fi
  done
}

install_debian_packages() {
  command -v apt-get >/dev/null ||
    die "these programs are missing, and there is no apt-get to install them with: $1"
  echo "Installing Debian packages: $1"
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
  run_showing_life apt-get -q -o DPkg::Lock::Timeout=300 update ||
    die "apt-get update failed; its last lines are above."
  hold_services "$1"
  # shellcheck disable=SC2086
  run_showing_life apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
    install --no-install-recommends $1 ||
    die "apt-get install failed; its last lines are above."
  disable_services_of "$1"
  echo "Installed the Debian packages in $seconds s."
}

mode=${1:-}
[ "$mode" = npm ] || [ "$(id -u)" = 0 ] || die "this needs root: it runs containers and their network."
# One set-up at a time in a checkout.
exec 9<package-lock.json
flock 9
if [ "$mode" != agent ]; then
  if npm_packages_are_missing; then install_npm_packages; fi
  if [ "$mode" != down ] && npm_packages_are_old; then install_npm_packages; fi
fi
case "$mode" in
  down | npm) exit 0 ;;
  agent) packages=$agent_packages ;;
  test) packages="$packages $test_packages" ;;
esac
missing=$(missing_packages)
if [ -n "$missing" ]; then install_debian_packages "$missing"; fi
