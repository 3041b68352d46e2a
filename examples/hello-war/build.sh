#!/bin/sh
# Makes hello.war from src/. The same files give the same bytes, so the same app gives the same image.
# usage: build.sh [the text that the page shows, default "version 1"] [where the WAR goes]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=${1:-version 1}
war=${2:-$here/hello.war}

case $version in
*[!A-Za-z0-9\ ._-]*) echo "the version may hold letters, digits, spaces, '.', '_' and '-'" >&2; exit 1 ;;
esac
case $war in
/*) ;;
*) war=$PWD/$war ;;
esac

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -R "$here/src/." "$stage/"
sed "s/version 1/$version/" "$here/src/index.jsp" > "$stage/index.jsp"
cd "$stage"
# A ZIP keeps local times, so the time zone is fixed as well.
find . -exec env TZ=UTC touch -t 202001010000 {} +
rm -f "$war"
find . -type f | LC_ALL=C sort | TZ=UTC zip -q -X -D "$war" -@
echo "$war"
