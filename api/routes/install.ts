import { NoQuery } from "../http/query.ts";
import { openRoute, type Route } from "../http/route.ts";

/*
 * The same for every host, and without a secret: where the api is and the token are told to the script.
 * It is a function that is called in the last line, so that one that arrives cut short does nothing.
 */
const INSTALL = `#!/bin/sh
# Brings Waybill to this Debian host, which then joins and runs pods from now on and at every boot:
#   curl -fsS API/install.sh | sh -s -- --api API --join TOKEN --source GIT-URL
# --source: a git repository of Waybill, of the version that the api runs; not needed where --folder,
# /opt/waybill, is a checkout already. Every other option is told to standalone/agent/install.sh there.
set -eu

install_node() {
  folder=/opt/waybill
  source=
  count=$#
  while [ "$count" -gt 0 ]; do
    option=$1
    shift
    count=$((count - 1))
    case "$option" in
      --folder | --source)
        if [ "$count" -eq 0 ]; then echo "waybill: $option needs a value." >&2; exit 1; fi
        if [ "$option" = --folder ]; then folder=$1; else source=$1; fi
        shift
        count=$((count - 1))
        ;;
      *) set -- "$@" "$option" ;;
    esac
  done
  if [ "$(id -u)" != 0 ]; then
    echo "waybill: this needs root: it runs containers and their network." >&2
    exit 1
  fi
  if [ ! -e "$folder/standalone/agent/install.sh" ] && [ -z "$source" ]; then
    echo "waybill: there is no Waybill in $folder: say where to get it, with --source GIT-URL." >&2
    exit 1
  fi
  missing=
  command -v npm >/dev/null || missing="nodejs npm"
  command -v git >/dev/null || missing="$missing git"
  if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
      echo "waybill: there is no apt-get here: install these in another way: $missing." >&2
      exit 1
    fi
    echo "Installing Debian packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null
    # Five hundred packages of npm's say four lines each, to nobody's use; what fails says so itself.
    apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends ca-certificates $missing \
      </dev/null >/dev/null
  fi
  if [ ! -e "$folder/standalone/agent/install.sh" ]; then
    git clone --quiet --depth 1 -- "$source" "$folder"
  fi
  exec sh "$folder/standalone/agent/install.sh" "$@" </dev/null
}

install_node "$@"
`;

export const installRoutes: readonly Route[] = [
  openRoute({
    method: "GET",
    path: "/install.sh",
    auth: "open",
    scope: null,
    project: "installation",
    audit: null,
    bodyLimit: 0,
    query: NoQuery,
    summary:
      "A script that makes a host a node: `curl -fsS …/install.sh | sh -s -- --api … --join …`",
    answers: { 200: "A shell script" },
    handle: (call) => call.c.text(INSTALL),
  }),
];
