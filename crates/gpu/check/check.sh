#!/bin/sh
# Checks pgnear on a machine with a GPU, which needs nothing but the driver: `cargo xtask gpu-check` packs
# this folder. First the kernels against the CPU, then a server of its own; both compare to the bit.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PGNEAR_GPU_TESTS=real PGNEAR_GPU_PROGRAM="$here/pgnear-gpu"

"$here/pgnear-gpu" measure
"$here/conformance"
"$here/faults"

# PostgreSQL does not run as root, nor out of a folder that its user cannot enter.
work=$(mktemp -d)
chmod 755 "$work"
cp -r "$here/postgres" "$here/check.sql" "$work"
mkdir "$work/cluster"
as=
if [ "$(id -u)" = 0 ]; then
    as="setpriv --reuid=nobody --regid=$(id -g nobody) --clear-groups"
    chown nobody "$work/cluster"
fi
bin=$(dirname "$(find "$work/postgres" -name initdb)")
export LD_LIBRARY_PATH="$work/postgres/wheel.libs" LC_ALL=C.UTF-8
trap '$as "$bin/pg_ctl" -D "$work/cluster/data" -s -m immediate stop; rm -rf "$work"' EXIT
cd "$work/cluster"
$as "$bin/initdb" -D "$work/cluster/data" -U postgres -A trust --no-sync >/dev/null
$as "$bin/pg_ctl" -D "$work/cluster/data" -s -w -l "$work/cluster/log" \
    -o "-c listen_addresses= -k $work/cluster -c shared_buffers=2GB -c maintenance_work_mem=2GB" start
$as "$bin/psql" -X -h "$work/cluster" -U postgres -d postgres -v ON_ERROR_STOP=1 -f "$work/check.sql"
echo "all checks passed"
