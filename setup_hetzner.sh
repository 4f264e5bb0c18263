#!/usr/bin/env bash
# Makes this checkout an installation that cron runs. On a fresh Debian 12 or 13 or Ubuntu 24.04 server, as root:
#
#   git clone ... /opt/downstream && cd /opt/downstream && ./setup_hetzner.sh
#
# Running it again changes nothing that is there already. It never touches jobs/ and streams/.
set -euo pipefail
cd "$(dirname "$0")"
home=$PWD
user=downstream

[ "$(id -u)" = 0 ] || { echo "setup_hetzner.sh: run it as root (sudo ./setup_hetzner.sh)" >&2; exit 1; }

apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv cron fonts-noto-core fonts-noto-cjk >/dev/null

id "$user" >/dev/null 2>&1 || useradd --system --home-dir "$home" --shell /usr/sbin/nologin "$user"

[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check .

chown -R "$user:$user" "$home"
runuser -u "$user" -- .venv/bin/downstream init "$home"

# The lines of crontab.txt, with the paths of this checkout.
sed "s|/opt/downstream|$home|g" crontab.txt | crontab -u "$user" -
runuser -u "$user" -- .venv/bin/downstream --home "$home" status
echo "Installed at $home for user $user; cron runs the five stages."
