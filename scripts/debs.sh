#!/bin/sh
# debs.sh PACKAGE…: installs the Debian packages that are missing, where that can be done.
# Tests that need one which is not there say so: they fail in CI and are skipped elsewhere.
set -u
missing=
for p in "$@"; do
	dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "debs: not installed here:$missing" >&2
	[ "${CI:-}" != true ] || exit 1
	exit 0
fi
echo "debs: installing$missing"
[ -n "${DEBS_UPDATED:-}" ] || apt-get -qq update
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
